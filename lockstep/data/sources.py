"""The files that `data.path` and `data.files` name, and whether they hold questions and answers or plain texts."""

import os
from dataclasses import dataclass
from pathlib import Path

from lockstep.core.errors import LockstepError, did_you_mean, shortened
from lockstep.core.paths import CORRECTIONS, shown_path
from lockstep.core.settings import Data
from lockstep.data.charset import cannot_read

TEXT_ENDINGS = (".txt", ".text", ".md", ".markdown")
TABLE_ENDINGS = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet")
GLOB_CHARACTERS = "*?["
SHOWN_NAMES = 5  # file names listed in an error


@dataclass(frozen=True, slots=True)
class Source:
    """A file to read. name: in records and rejects, as the user wrote it, but never an absolute path."""

    path: Path
    name: str
    corrections: bool = False  # answers put right in chat: JSON Lines of question and answer

    @property
    def ending(self) -> str:
        """The lower-case ending of the file's name, with its dot."""
        return self.path.suffix.lower()


def sources_of(settings: Data) -> tuple[list[Source], str]:
    """The files that prepare reads, the corrections last, and their kind, 'qa' or 'text'.

    The corrections are never read as ordinary rows, wanted or not, because answers marked bad would then count.
    Raises LockstepError when the path or a pattern names no file, or a file has an ending that prepare does not read.
    """
    sources = find_sources(settings.path, settings.files, str(CORRECTIONS))
    kind = kind_of(sources, settings.kind)
    wanted = settings.corrections and kind == "qa" and not any(source.corrections for source in sources)
    return sources + (find_corrections(str(CORRECTIONS)) if wanted else []), kind


def find_sources(where: str, files: str | list[str], corrections: str | None = None) -> list[Source]:
    """The files to read, in the order of their names.

    where, files: data.path and data.files. corrections: the file of corrections, which is left out of a folder; where
    data.path names it, it is read with its verdicts.
    Raises LockstepError when the path is missing, unreadable or no file, or a pattern of data.files matches nothing.
    """
    path = Path(where)
    try:
        if path.is_dir():
            return _in_folder(path, [files] if isinstance(files, str) else files, corrections)
        if path.is_symlink() or path.exists():
            _require_file(path)
            return [Source(path, shown_path(path), corrections=_is_same(path, corrections))]
    except OSError as error:  # too long a name, or a folder that may not be read
        raise cannot_read(Path(error.filename or path), error) from None
    if any(character in where for character in GLOB_CHARACTERS):
        raise LockstepError(
            f"data.path = {where}: no such file.", "Put the folder into data.path and the pattern into data.files."
        )
    raise LockstepError(
        f"data.path = {where}: no such file or folder.", f"{_similar_name(path)}Put it right in params.yaml."
    )


def find_corrections(corrections: str) -> list[Source]:
    """The file of answers marked good or put right in chat, if there is one with rows in it."""
    path = Path(corrections)
    if not (path.exists() or path.is_symlink()):
        return []
    _require_file(path)
    try:
        if not path.read_bytes().strip():
            return []
    except OSError as error:
        raise cannot_read(path, error) from None
    return [Source(path, shown_path(path), corrections=True)]


def kind_of(sources: list[Source], wanted: str) -> str:
    """The kind of the files, 'qa' or 'text'.

    wanted: data.kind; 'auto' decides by the endings of the names.
    Raises LockstepError when both kinds are found, or a file has an ending that is not read.
    """
    readable = {"qa": (*TABLE_ENDINGS, ".txt"), "text": TEXT_ENDINGS, "auto": (*TABLE_ENDINGS, *TEXT_ENDINGS)}[wanted]
    unreadable = [source for source in sources if source.ending not in readable]
    if unreadable:
        first, others = unreadable[0], len(unreadable) - 1
        more = f" (and {others} more)" if others else ""
        what = f"data.kind {wanted}" if wanted != "auto" else "prepare"
        raise LockstepError(
            f"{first.path}{more}: {what} does not read files ending in {first.ending or 'nothing'}.",
            f"It reads {', '.join(readable)}; convert the file, or leave it out with data.files.",
        )
    if wanted != "auto":
        return wanted
    texts = [source for source in sources if source.ending in TEXT_ENDINGS]
    if texts and len(texts) < len(sources):
        table = next(source for source in sources if source.ending not in TEXT_ENDINGS)
        raise LockstepError(
            f"{texts[0].path} is a text, {table.path} is a table: one run reads one kind.",
            "Choose the files with data.files, or the kind with data.kind.",
        )
    return "text" if texts else "qa"


def _in_folder(folder: Path, patterns: list[str], corrections: str | None) -> list[Source]:
    """The files of a folder that the patterns match, without the corrections, each once."""
    sources: dict[str, Source] = {}
    for pattern in patterns:
        if Path(pattern).is_absolute() or ".." in Path(pattern).parts:
            raise LockstepError(f"data.files = {pattern!r} leaves {folder}.", "Name files inside it.")
        matches = _matches(folder, pattern)
        if not matches:
            raise LockstepError(f"{folder}: no file matches data.files = {pattern!r}.", _contents(folder))
        for path in matches:
            _require_file(path)
            if not _is_same(path, corrections):
                name = path.relative_to(folder).as_posix()
                sources[name] = Source(path, f"{shown_path(folder)}/{shown_path(Path(name))}".removeprefix("./"))
    if not sources:
        raise LockstepError(f"{folder} holds nothing but the corrections.", "Put your data there too.")
    return [sources[name] for name in sorted(sources)]


def _is_same(path: Path, corrections: str | None) -> bool:
    """Whether a path, perhaps by a link, leads to the corrections."""
    return corrections is not None and os.path.realpath(path) == os.path.realpath(corrections)


def _matches(folder: Path, pattern: str) -> list[Path]:
    """The files that a pattern matches.

    Raises LockstepError where it is no pattern, and OSError where a folder can't be read: glob takes it for empty.
    """
    for _ in os.walk(folder, onerror=_raise):
        if "/" not in pattern:
            break
    if not pattern.strip("./"):
        raise LockstepError(f"data.files = {pattern!r} names no files.", 'Write "*" for all of them.')
    try:
        return [path for path in folder.glob(pattern) if not path.is_dir() and not _is_hidden(path, folder)]
    except ValueError as error:
        raise LockstepError(f"data.files = {pattern!r}: {str(error).lower()}.", 'Write "**/*.txt", say.') from None
    except OSError as error:
        raise LockstepError(f"data.files = {shortened(pattern)!r}: {error.strerror}.", 'Write "*.csv", say.') from None


def _raise(error: OSError) -> None:
    raise error


def _require_file(path: Path) -> None:
    """Raise LockstepError for a link to nothing, and for a pipe or device, which may never end."""
    if path.is_symlink() and not path.exists():
        raise _broken_link(path)
    if not path.is_file():
        raise LockstepError(f"{path} is no ordinary file.", "Put one in its place.")


def _broken_link(path: Path) -> LockstepError:
    return LockstepError(f"{path} is a link to {os.readlink(path)}, which leads nowhere.", "Put the link right.")


def _is_hidden(path: Path, folder: Path) -> bool:
    """Whether the file is no data: a dot file, or a pointer file of DVC."""
    return path.suffix == ".dvc" or any(part.startswith(".") for part in path.relative_to(folder).parts)


def _contents(folder: Path) -> str:
    """A sentence that lists the files in the folder."""
    files = (path for path in folder.rglob("*") if path.is_file() and not _is_hidden(path, folder))
    names = sorted(path.relative_to(folder).as_posix() for path in files)
    if not names:
        return "The folder is empty: put your files there."
    more = ", ..." if len(names) > SHOWN_NAMES else ""
    return f'It holds {", ".join(names[:SHOWN_NAMES])}{more}; files in subfolders are matched by "**/*".'


def _similar_name(path: Path) -> str:
    """'Did you mean ...? ' where the folder holds a name close to the missing one."""
    try:
        names = [other.name for other in path.parent.iterdir()]
    except OSError:
        return f"There is no folder {path.parent} either. "
    folder = str(path).removesuffix(path.name)
    hint = did_you_mean(path.name, sorted(names), lead=f"Did you mean {folder}")
    return f"{hint} " if hint else ""
