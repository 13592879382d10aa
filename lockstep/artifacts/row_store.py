"""Rows on disk as a `datasets` folder whose bytes depend on nothing but the rows."""

import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset, Features, List, Value, disable_progress_bars
from datasets.arrow_writer import ArrowWriter

from lockstep.artifacts.rows import Row, RowBlock, even_blocks
from lockstep.core.errors import LockstepError

FEATURES = Features({"input_ids": List(Value("int32")), "target_start": Value("int32"), "answer_start": Value("int32")})
ROWS_PER_WRITE = 1000  # of every piece of the file but the last, so that its bytes do not tell how rows came
ROWS_AT_ONCE = 1 << 13
SHARD_BYTES = 500_000_000  # of ids in one file

disable_progress_bars()


def write_rows(folder: Path, blocks: Iterable[RowBlock]) -> np.ndarray:
    """Write rows as `Dataset.save_to_disk` does, a block at a time; how they are dealt out in blocks changes no byte.

    Returns an array (rows, 2) of int32: length and targets of each row.
    """
    sizes = [np.zeros((0, 2), np.int32)]
    with tempfile.TemporaryDirectory(dir=folder.parent) as spool:
        path = str(Path(spool) / "rows.arrow")
        writer = ArrowWriter(path=path, features=FEATURES, writer_batch_size=ROWS_PER_WRITE)
        for block in even_blocks(blocks, ROWS_PER_WRITE):
            writer.write_table(_table(block))
            sizes.append(np.stack([block.lengths, block.lengths - block.target_start], axis=1))
        writer.finalize()
        writer.close()
        every = np.concatenate(sizes)
        # `datasets` would count what the blocks add to the bytes, and without rows it would write no file.
        shards = int(every[:, 0].sum(dtype=np.int64)) * 4 // SHARD_BYTES + 1
        Dataset.from_file(path).save_to_disk(folder, num_shards=shards)
    _fix_fingerprint(folder)
    return every


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


def read_blocks(dataset: Dataset) -> Iterator[RowBlock]:
    """The rows of a dataset, some at a time."""
    return map(_block, dataset.with_format("arrow").iter(batch_size=ROWS_AT_ONCE))


def stored_blocks(folder: Path) -> Iterator[RowBlock]:
    """The rows that write_rows wrote, some at a time, in constant memory: of a file that is mapped, as by read_rows,
    all that was read stays with the process."""
    for file in sorted(folder.glob("*.arrow")):
        with pa.OSFile(str(file)) as source, pa.ipc.open_stream(source) as pieces:
            for piece in pieces:
                yield _block(pa.Table.from_batches([piece]))


def iterate_rows(dataset: Dataset) -> Iterator[Row]:
    """The rows of a dataset, one by one."""
    for block in read_blocks(dataset):
        yield from block.rows()


def _block(table: pa.Table) -> RowBlock:
    lists = table["input_ids"].combine_chunks()
    columns = [table[name].to_numpy().astype(np.int32) for name in ("target_start", "answer_start")]
    return RowBlock(lists.flatten().to_numpy(), np.diff(lists.offsets.to_numpy()), *columns)


def _table(block: RowBlock) -> pa.Table:
    lists = pa.ListArray.from_arrays(pa.array(block.starts.astype(np.int32)), pa.array(block.ids))
    columns = [lists, pa.array(block.target_start), pa.array(block.answer_start)]
    return pa.Table.from_arrays(columns, names=list(FEATURES))


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
