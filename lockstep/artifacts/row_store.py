"""Token rows on disk: a folder of the library `datasets` whose bytes depend on nothing but the rows."""

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
ROWS_PER_WRITE = 1000  # rows of each record batch but the last, so that the file does not depend on the blocks
ROWS_PER_READ = 1 << 13  # rows in memory at once
SHARD_BYTES = 500_000_000  # bytes of ids in one file, about
HASH_BYTES = 1 << 20  # bytes read at once

disable_progress_bars()


def write_rows(folder: Path, blocks: Iterable[RowBlock]) -> np.ndarray:
    """Write N rows as `Dataset.save_to_disk` does, block by block; the division into blocks changes no byte.

    Returns an int32 array (N, 2): length and number of targets of each row.
    """
    sizes = [np.zeros((0, 2), np.int32)]
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        path = str(Path(temporary) / "rows.arrow")
        writer = ArrowWriter(path=path, features=FEATURES, writer_batch_size=ROWS_PER_WRITE)
        for block in even_blocks(blocks, ROWS_PER_WRITE):
            writer.write_table(_table(block))
            sizes.append(np.stack([block.lengths, block.lengths - block.target_start], axis=1))  # (n, 2)
        writer.finalize()
        writer.close()
        row_sizes = np.concatenate(sizes)  # (N, 2)
        # Left to itself, `datasets` counts what record batches add to the bytes, and writes no file without rows.
        shards = int(row_sizes[:, 0].sum(dtype=np.int64)) * 4 // SHARD_BYTES + 1
        Dataset.from_file(path).save_to_disk(folder, num_shards=shards)
    _fix_fingerprint(folder)
    return row_sizes


def read_rows(folder: Path) -> Dataset:
    """Memory-map the rows that write_rows wrote. Raises LockstepError when they are missing or damaged."""
    try:
        dataset = Dataset.load_from_disk(str(folder))
        if dataset.features != FEATURES:
            raise ValueError("unknown columns")
    except FileNotFoundError:
        raise LockstepError(f"{folder} is missing.", "Run `make tokenize` first.") from None
    except Exception as error:  # a truncated Arrow file fails in many ways
        raise LockstepError(f"{folder} is damaged ({type(error).__name__}).", "Run `make tokenize` again.") from None
    return dataset.with_format("numpy")


def read_blocks(dataset: Dataset) -> Iterator[RowBlock]:
    """The rows of a dataset, ROWS_PER_READ at a time."""
    return map(_block, dataset.with_format("arrow").iter(batch_size=ROWS_PER_READ))


def stored_blocks(folder: Path) -> Iterator[RowBlock]:
    """The rows that write_rows wrote, ROWS_PER_WRITE at a time, in constant memory.

    Pages of a memory-mapped file, as read_rows gives it, would count as memory of the process once they are read.
    """
    for file in sorted(folder.glob("*.arrow")):
        with pa.OSFile(str(file)) as source, pa.ipc.open_stream(source) as batches:
            for batch in batches:
                yield _block(pa.Table.from_batches([batch]))


def iterate_rows(dataset: Dataset) -> Iterator[Row]:
    """The rows of a dataset, one by one."""
    for block in read_blocks(dataset):
        yield from block.rows()


def _block(table: pa.Table) -> RowBlock:
    """The n rows of an Arrow table."""
    lists = table["input_ids"].combine_chunks()
    return RowBlock(
        ids=lists.flatten().to_numpy(),  # (tokens,)
        lengths=np.diff(lists.offsets.to_numpy()),  # (n,)
        target_start=table["target_start"].to_numpy().astype(np.int32),  # (n,)
        answer_start=table["answer_start"].to_numpy().astype(np.int32),  # (n,)
    )


def _table(block: RowBlock) -> pa.Table:
    """The Arrow table of some rows, with the columns of FEATURES."""
    lists = pa.ListArray.from_arrays(pa.array(block.starts.astype(np.int32)), pa.array(block.ids))
    columns = [lists, pa.array(block.target_start), pa.array(block.answer_start)]
    return pa.Table.from_arrays(columns, names=list(FEATURES))


def _fix_fingerprint(folder: Path) -> None:
    """Put a hash of the data into state.json, where `datasets` puts a random fingerprint that would change dvc.lock."""
    path = folder / "state.json"
    state: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    digest = hashlib.blake2b(digest_size=8)
    for file in sorted(folder.glob("*.arrow")):
        with open(file, "rb") as handle:
            for data in iter(lambda: handle.read(HASH_BYTES), b""):
                digest.update(data)
    state["_fingerprint"] = digest.hexdigest()
    path.write_text(json.dumps(state, indent=2, sort_keys=True) + "\n", encoding="utf-8")
