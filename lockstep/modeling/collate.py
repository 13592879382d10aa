"""Collates rows into tensors: stacked where they are equally long, else packed into one line or into bins, else padded.

Shapes: B rows of the batch tensor, L its length, T tokens of a packed line, N targets.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch

Layout = Literal["line", "bins", "padded"]

IGNORED = -100  # label of a position without a target, as in Transformers
LINE_STEP = 64  # tokens; matrix and attention kernels are compiled or chosen anew for each new size
BIN_ROWS = 2  # capacity of a bin, in longest rows: little room is left over, and attention stays short


def collate(rows: Sequence[dict[str, Any]], pad_id: int, layout: Layout) -> dict[str, Any]:
    """Put rows (`input_ids`, `target_start`) into one batch.

    Returns input_ids (B, L), what keeps rows and padding apart, and the targets:
    - equally long rows: input_ids alone, one row each;
    - line: all rows end to end, the longest first, (1, T), with a row of padding that makes T a multiple of LINE_STEP;
      position_ids restart with each row, and attention_mask holds cu_seqlens for varlen_attention,
      (1, 1, 1, rows + 1) int32;
    - bins: several rows per bin, (B, L) with L a multiple of LINE_STEP, and position_ids that restart with each row,
      from which Transformers derives block-diagonal attention; the rest of a bin is filled with rows of padding;
    - padded: attention_mask (B, L), 0 on the padding at the end of shorter rows.
    target_index (N,): positions in the flattened (B * L) whose next token is a target. targets (N,): those tokens.
    tokens: number of tokens of the rows without padding. The loss is the same in all four layouts.
    """
    ids = [torch.as_tensor(row["input_ids"]).long() for row in rows]  # each (row length,)
    labels = [_labels(tokens, row["target_start"]) for tokens, row in zip(ids, rows, strict=True)]  # each (row length,)
    lengths = [len(tokens) for tokens in ids]
    if min(lengths) == max(lengths):
        inputs, batch_labels = {"input_ids": torch.stack(ids)}, torch.stack(labels)  # (B, L), (B, L)
    else:
        inputs, batch_labels = _LAYOUTS[layout](ids, labels, lengths, pad_id)
    return {**inputs, **_targets(batch_labels), "tokens": sum(lengths)}


Tensors = list[torch.Tensor]
LaidOut = tuple[dict[str, torch.Tensor], torch.Tensor]  # the model's inputs, and the labels of all positions (B, L)


def _line(ids: Tensors, labels: Tensors, lengths: list[int], pad_id: int) -> LaidOut:
    order = longest_first(lengths)
    rest = -sum(lengths) % min(LINE_STEP, max(lengths))  # shorter than a row, so the model has positions for it
    sizes = [*(lengths[index] for index in order), *([rest] if rest else [])]
    inputs = {
        "input_ids": torch.cat([*(ids[index] for index in order), torch.full((rest,), pad_id)])[None],  # (1, T)
        "position_ids": torch.cat([torch.arange(size) for size in sizes])[None],  # (1, T)
        "attention_mask": torch.tensor([0, *sizes]).cumsum(0).int()[None, None, None],  # (1, 1, 1, rows + 1)
    }
    return inputs, torch.cat([*(labels[index] for index in order), torch.full((rest,), IGNORED)])[None]  # (1, T)


def _bins(ids: Tensors, labels: Tensors, lengths: list[int], pad_id: int) -> LaidOut:
    longest = max(lengths)
    bins = pack(lengths, BIN_ROWS * longest)
    width = max(sum(lengths[index] for index in bin_) for bin_ in bins)
    width += -width % LINE_STEP
    positions = [torch.arange(length) for length in lengths]  # each (row length,)
    # What is left of a bin are rows of padding, none longer than the longest: the model has positions for them.
    pad_positions = torch.arange(width) % longest  # (L,)
    inputs = {
        "input_ids": _fill_bins(bins, ids, torch.full((width,), pad_id)),  # (B, L)
        "position_ids": _fill_bins(bins, positions, pad_positions),  # (B, L)
    }
    return inputs, _fill_bins(bins, labels, torch.full((width,), IGNORED))  # (B, L)


def _padded(ids: Tensors, labels: Tensors, lengths: list[int], pad_id: int) -> LaidOut:
    pad = torch.nn.utils.rnn.pad_sequence
    inputs = {
        "input_ids": pad(ids, batch_first=True, padding_value=pad_id),  # (B, L)
        "attention_mask": pad([torch.ones_like(tokens) for tokens in ids], batch_first=True),  # (B, L)
    }
    return inputs, pad(labels, batch_first=True, padding_value=IGNORED)  # (B, L)


_LAYOUTS = {"line": _line, "bins": _bins, "padded": _padded}


def longest_first(lengths: Sequence[int]) -> list[int]:
    """Indices from the longest to the shortest; equally long ones keep their order."""
    return sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))


def pack(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Indices of rows in bins of at most `capacity` tokens: the longest first, each into the first bin with room
    (first-fit decreasing)."""
    bins: list[list[int]] = []
    room: list[int] = []  # tokens that still fit into each bin
    for index in longest_first(lengths):
        chosen = next((bin_index for bin_index, left in enumerate(room) if left >= lengths[index]), len(bins))
        if chosen == len(bins):
            bins.append([])
            room.append(capacity)
        bins[chosen].append(index)
        room[chosen] -= lengths[index]
    return bins


def _fill_bins(bins: list[list[int]], rows: Tensors, padding: torch.Tensor) -> torch.Tensor:
    """(B, L) each bin's rows end to end, and then the beginning of the padding, (L,)."""
    lines = [torch.cat([rows[index] for index in bin_]) for bin_ in bins]  # each (tokens of the bin,)
    return torch.stack([torch.cat([line, padding[: len(padding) - len(line)]]) for line in lines])  # (B, L)


def _labels(ids: torch.Tensor, target_start: int) -> torch.Tensor:
    """(row length,) the next token at each position where that is a target, else IGNORED."""
    labels = torch.full_like(ids, IGNORED)  # (row length,)
    labels[target_start - 1 : -1] = ids[target_start:]
    return labels


def _targets(labels: torch.Tensor) -> dict[str, torch.Tensor]:
    """labels (B, L) -> the flat positions that have a target, and the targets."""
    flat = labels.flatten()  # (B * L,)
    index = (flat != IGNORED).nonzero().squeeze(1)  # (N,)
    return {"target_index": index, "targets": flat[index]}  # (N,), (N,)


def batches_by_length(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Indices of rows in batches of similar length, each at most `tokens` tokens when padded (one row at least)."""
    order = sorted(range(len(lengths)), key=lambda index: (lengths[index], index))
    batches: list[list[int]] = []
    batch: list[int] = []
    for index in order:
        if batch and lengths[index] * (len(batch) + 1) > tokens:
            batches.append(batch)
            batch = []
        batch.append(index)
    return [*batches, batch] if batch else batches
