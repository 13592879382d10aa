"""Rows -> tensors: stacked where they are equally long, else end to end in one line or in bins, else padded."""

from collections.abc import Sequence
from typing import Any, Literal

import torch

Layout = Literal["line", "bins", "padded"]

IGNORED = -100  # target of a position that has none, as in Transformers
LINE_STEP = 64  # tokens; matrix and attention kernels are made or chosen anew for each new size, so there should be few
BIN_ROWS = 2  # a bin is this many times the longest row: little room is left over, and attention stays short


def collate(rows: Sequence[dict[str, Any]], pad_id: int, layout: Layout) -> dict[str, Any]:
    """Put rows (`input_ids`, `target_start`) into one batch.

    Returns input_ids (B, L), what tells rows and padding apart, and the targets:
    - equally long rows: input_ids alone, a row each;
    - line: all rows end to end, the longest first, (1, T), and a row of padding that makes T a multiple of LINE_STEP;
      position_ids restart with each row, and attention_mask holds the rows' bounds for row_attention,
      (1, 1, 1, rows + 1) int32;
    - bins: several rows to a bin, (B, L) with L a multiple of LINE_STEP, and position_ids that restart with each row,
      from which Transformers makes block-diagonal attention; what is left of a bin are rows of padding;
    - padded: attention_mask (B, L), 0 on the padding at the end of shorter rows.
    target_index (N,): positions in the flattened (B * L) whose next token is a target. targets (N,): those tokens.
    tokens: how many tokens the rows have, padding left out. The loss is the same in all four.
    """
    ids = [torch.as_tensor(row["input_ids"]).long() for row in rows]
    following = [_following(tokens, row["target_start"]) for tokens, row in zip(ids, rows, strict=True)]
    lengths = [len(tokens) for tokens in ids]
    if min(lengths) == max(lengths):
        batch, nexts = {"input_ids": torch.stack(ids)}, torch.stack(following)
    else:
        batch, nexts = _LAYOUTS[layout](ids, following, lengths, pad_id)
    return {**batch, **_targets(nexts), "tokens": sum(lengths)}


Tensors = list[torch.Tensor]
Placed = tuple[dict[str, torch.Tensor], torch.Tensor]  # the model's inputs, and (B, L) what follows each position


def _line(ids: Tensors, following: Tensors, lengths: list[int], pad_id: int) -> Placed:
    order = longest_first(lengths)
    rest = -sum(lengths) % min(LINE_STEP, max(lengths))  # shorter than a row, so the model has positions for it
    sizes = [*(lengths[index] for index in order), *([rest] if rest else [])]
    inputs = {
        "input_ids": torch.cat([*(ids[index] for index in order), torch.full((rest,), pad_id)])[None],
        "position_ids": torch.cat([torch.arange(size) for size in sizes])[None],
        "attention_mask": torch.tensor([0, *sizes]).cumsum(0).int()[None, None, None],
    }
    return inputs, torch.cat([*(following[index] for index in order), torch.full((rest,), IGNORED)])


def _bins(ids: Tensors, following: Tensors, lengths: list[int], pad_id: int) -> Placed:
    longest = max(lengths)
    bins = pack(lengths, BIN_ROWS * longest)
    width = max(sum(lengths[index] for index in bin_) for bin_ in bins)
    width += -width % LINE_STEP
    # What is left of a bin are rows of padding, none longer than the longest: the model has positions for them.
    positions = _fill(bins, [torch.arange(length) for length in lengths], torch.arange(width) % longest)
    inputs = {"input_ids": _fill(bins, ids, torch.full((width,), pad_id)), "position_ids": positions}
    return inputs, _fill(bins, following, torch.full((width,), IGNORED))


def _padded(ids: Tensors, following: Tensors, lengths: list[int], pad_id: int) -> Placed:
    pad = torch.nn.utils.rnn.pad_sequence
    inputs = {
        "input_ids": pad(ids, batch_first=True, padding_value=pad_id),
        "attention_mask": pad([torch.ones_like(tokens) for tokens in ids], batch_first=True),
    }
    return inputs, pad(following, batch_first=True, padding_value=IGNORED)


_LAYOUTS = {"line": _line, "bins": _bins, "padded": _padded}


def longest_first(lengths: Sequence[int]) -> list[int]:
    """Indices from the longest to the shortest; equally long ones keep their order."""
    return sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))


def pack(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Indices of rows in bins of at most `capacity` tokens: the longest first, each into the first bin with room
    (first-fit decreasing)."""
    bins: list[list[int]] = []
    room: list[int] = []
    for index in longest_first(lengths):
        place = next((number for number, left in enumerate(room) if left >= lengths[index]), len(bins))
        if place == len(bins):
            bins.append([])
            room.append(capacity)
        bins[place].append(index)
        room[place] -= lengths[index]
    return bins


def _fill(bins: list[list[int]], pieces: list[torch.Tensor], padding: torch.Tensor) -> torch.Tensor:
    """(B, width) each bin's pieces end to end, and then the beginning of the padding, (width,)."""
    lines = [torch.cat([pieces[index] for index in bin_]) for bin_ in bins]
    return torch.stack([torch.cat([line, padding[: len(padding) - len(line)]]) for line in lines])


def _following(ids: torch.Tensor, target_start: int) -> torch.Tensor:
    """(L,) the token after each position where it is a target, else IGNORED."""
    following = torch.full_like(ids, IGNORED)
    following[target_start - 1 : -1] = ids[target_start:]
    return following


def _targets(following: torch.Tensor) -> dict[str, torch.Tensor]:
    """Where the targets are in the flattened batch, and which tokens they are."""
    flat = following.flatten()
    index = (flat != IGNORED).nonzero().squeeze(1)
    return {"target_index": index, "targets": flat[index]}


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
