"""Writes files and folders completely or not at all, and reads and writes the JSON and CSV files of the stages."""

import csv
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from lockstep.core.errors import MAKE_ROOM, LockstepError, write_failure

Point = dict[str, float]  # one point of a curve: name -> value

DIGITS = 6  # significant digits of a figure in metrics: enough to compare, few enough to read


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a failed write inside the block into a LockstepError that names the path."""
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error) from error
    except Exception as error:
        if write_failure(error) is None:
            raise
        raise cannot_write(path, error) from error


@contextmanager
def whole_file(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a file for writing; it takes its name only once it is complete and on disk.

    mode: 'w' (UTF-8 text, newline '\\n') or 'wb'.
    Raises LockstepError when the folder can't be written or the disk is full.
    """
    partial = path.with_name(f"{path.name}.partial")
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(partial, mode, **text) as file:  # type: ignore[call-overload]
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
            sync_folder(path.parent)
    finally:
        with suppress(OSError):  # it was never created
            partial.unlink()


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder to fill, which replaces `path` only if the block ends without an error.

    Raises LockstepError where the folder can't be written or the disk is full.
    """
    partial, old = path.with_name(f"{path.name}.partial"), path.with_name(f"{path.name}.old.partial")
    try:
        with writing(path):
            for leftover in (partial, old):
                shutil.rmtree(leftover, ignore_errors=True)
            partial.mkdir(parents=True)
            yield partial
            for file in sorted(partial.rglob("*")):
                if file.is_file():
                    sync_file(file)
            if path.exists():
                os.replace(path, old)  # atomic: a process killed while removing files would leave half of them
            os.replace(partial, path)
            sync_folder(path.parent)
    finally:
        for leftover in (partial, old):
            shutil.rmtree(leftover, ignore_errors=True)


def sync_file(path: Path) -> None:
    """Flush the file's bytes to the disk."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Flush renames inside a folder to the disk, on systems that support it."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)


def cannot_write(path: Path, error: Exception) -> LockstepError:
    """The error for a failed write."""
    reason = write_failure(error) or getattr(error, "strerror", None) or str(error)
    return LockstepError(f"Cannot write {path}: {reason}.", MAKE_ROOM)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text, completely or not at all."""
    with whole_file(path) as file:
        file.write(text)


def write_json(path: Path, value: Any) -> None:
    """Write JSON, keys in their order, completely or not at all. Raises ValueError on NaN or infinity."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_json_lines(path: Path, values: Iterable[Any]) -> None:
    """Write JSON Lines, completely or not at all. Raises ValueError on NaN or infinity."""
    with whole_file(path) as file:
        for value in values:
            file.write(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path, made_by: str) -> Any:
    """Read JSON that an earlier stage wrote. Raises LockstepError when it is missing or damaged.

    made_by: the command that writes the file, for the remedy.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise LockstepError(f"{path} is missing.", f"Run `{made_by}` first.") from None
    except OSError as error:
        raise LockstepError(f"Cannot read {path}: {error.strerror}.", f"Run `{made_by}` to make it again.") from None
    except (ValueError, RecursionError) as error:
        line = f" line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise LockstepError(f"{path}{line} is not valid JSON.", f"Run `{made_by}` to make it again.") from None


def write_points(path: Path, points: Sequence[Point]) -> None:
    """Write points as CSV, completely or not at all, with the first point's names as columns.

    Numbers get six significant digits. Raises LockstepError where the file can't be written.
    """
    names = list(points[0]) if points else []
    lines = [names, *([f"{point[name]:.6g}" for name in names] for point in points)]
    write_text(path, "".join(",".join(line) + "\n" for line in lines))


def read_points(path: Path, made_by: str) -> list[Point]:
    """Read points that write_points wrote. Raises LockstepError where the file is missing or is no table of numbers.

    made_by: the command that writes the file, for the remedy.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file, strict=True)]
    except FileNotFoundError:
        raise LockstepError(f"{path} is missing.", f"Run `{made_by}` first.") from None
    except (ValueError, TypeError, csv.Error):  # no number, or another count of cells than the header has
        raise LockstepError(f"{path} is no table of numbers.", f"Run `{made_by}` to make it again.") from None


def figure(value: float) -> float:
    """The value rounded to DIGITS significant digits, as metrics files have it."""
    return float(f"{value:.{DIGITS}g}")


def free_bytes(path: Path) -> int:
    """Free bytes on the disk that holds `path`, or its nearest existing parent."""
    existing = path.absolute()
    while not existing.exists():
        existing = existing.parent
    return shutil.disk_usage(existing).free


def require_space(path: Path, needed: int) -> None:
    """Raise LockstepError unless `needed` bytes are free where `path` will be written."""
    free = free_bytes(path)
    if free < needed:
        raise LockstepError(
            f"Too little disk for {path}: {needed / 1e6:.0f} MB are needed, {free / 1e6:.0f} MB are free.",
            "Make room, then run again.",
        )
