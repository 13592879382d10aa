"""Rows on disk as a `datasets` folder whose bytes depend on nothing but the rows."""

import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, Features, List, Value, disable_progress_bars
from datasets.arrow_writer import ArrowWriter

from stages.core.errors import LockstepError
from stages.core.rows import Row

FEATURES = Features({"input_ids": List(Value("int32")), "target_start": Value("int32"), "answer_start": Value("int32")})
ROWS_PER_WRITE = 1000

disable_progress_bars()


def write_rows(folder: Path, rows: Iterable[Row]) -> np.ndarray:
    """Write rows as `Dataset.save_to_disk` does, a piece at a time.

    Returns an array (rows, 2) of int64: length and targets of each row.
    """
    sizes: list[tuple[int, int]] = []
    with tempfile.TemporaryDirectory(dir=folder.parent) as spool:
        path = str(Path(spool) / "rows.arrow")
        writer = ArrowWriter(path=path, features=FEATURES, writer_batch_size=ROWS_PER_WRITE)
        for row in rows:
            writer.write({"input_ids": row.ids, "target_start": row.target_start, "answer_start": row.answer_start})
            sizes.append((len(row.ids), row.targets))
        writer.finalize()
        writer.close()
        # Without rows `datasets` would write no file, and could not read that.
        Dataset.from_file(path).save_to_disk(folder, num_shards=None if sizes else 1)
    _fix_fingerprint(folder)
    return np.array(sizes, dtype=np.int64).reshape(-1, 2)


def read_rows(folder: Path) -> Dataset:
    """Open rows written by write_rows, memory-mapped. Raises LockstepError when they are missing or damaged."""
    try:
        dataset = Dataset.load_from_disk(str(folder))
        if dataset.features != FEATURES:
            raise ValueError("unknown columns")
    except FileNotFoundError:
        raise LockstepError(f"{folder} is missing.", "Run `make tokenize` first.") from None
    except Exception as error:  # a truncated Arrow file fails in many ways, none of them the user's to read
        raise LockstepError(f"{folder} is damaged ({type(error).__name__}).", "Run `make tokenize` again.") from None
    return dataset.with_format("numpy")


def iterate_rows(dataset: Dataset) -> Iterator[Row]:
    """The rows of a dataset, one by one."""
    for batch in dataset.iter(batch_size=ROWS_PER_WRITE):
        for ids, target, answer in zip(batch["input_ids"], batch["target_start"], batch["answer_start"], strict=True):
            yield Row(ids.tolist(), int(target), int(answer))


def _fix_fingerprint(folder: Path) -> None:
    """Give state.json a fingerprint of the data itself: `datasets` draws a random one, and dvc.lock would change."""
    path = folder / "state.json"
    state: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    digest = hashlib.blake2b(digest_size=8)
    for file in sorted(folder.glob("*.arrow")):
        with open(file, "rb") as handle:
            for block in iter(lambda: handle.read(1 << 20), b""):
                digest.update(block)
    state["_fingerprint"] = digest.hexdigest()
    path.write_text(json.dumps(state, indent=2, sort_keys=True) + "\n", encoding="utf-8")
