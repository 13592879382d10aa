"""Rows -> tensors: stacked where they are equally long, else packed into bins without padding, else padded."""

from collections.abc import Sequence
from typing import Any

import torch

IGNORED = -100  # target of a position that has none, as in Transformers
BIN_ROWS = 2  # a bin is this many times the longest row: little room is left over, and attention stays short


def collate(rows: Sequence[dict[str, Any]], pad_id: int, packing: bool) -> dict[str, Any]:
    """Put rows (`input_ids`, `target_start`) into one batch.

    Returns input_ids (B, L), what tells rows and padding apart, and the targets:
    - equally long rows: input_ids alone, a row each;
    - packing: bins of several rows, and position_ids (B, L) that restart with each row, from which Transformers makes
      block-diagonal attention, so that no row sees another; what is left of a bin is a row of padding of its own;
    - else: attention_mask (B, L), 0 on the padding at the end of shorter rows.
    target_index (N,): positions in the flattened (B * L) whose next token is a target. targets (N,): those tokens.
    tokens: how many tokens the rows have, padding left out. The loss is the same in all three.
    """
    ids = [torch.as_tensor(row["input_ids"]).long() for row in rows]
    following = [_following(tokens, row["target_start"]) for tokens, row in zip(ids, rows, strict=True)]
    lengths = [len(tokens) for tokens in ids]
    total = {"tokens": sum(lengths)}
    if min(lengths) == max(lengths):
        return {"input_ids": torch.stack(ids), **_targets(torch.stack(following)), **total}
    if not packing:
        pad = torch.nn.utils.rnn.pad_sequence
        return {
            "input_ids": pad(ids, batch_first=True, padding_value=pad_id),
            "attention_mask": pad([torch.ones_like(tokens) for tokens in ids], batch_first=True),
            **_targets(pad(following, batch_first=True, padding_value=IGNORED)),
            **total,
        }
    bins = pack(lengths, BIN_ROWS * max(lengths))
    width = max(sum(lengths[index] for index in bin_) for bin_ in bins)
    return {
        "input_ids": _fill(bins, ids, width, pad_id),
        "position_ids": _fill(bins, [torch.arange(length) for length in lengths], width, None),
        **_targets(_fill(bins, following, width, IGNORED)),
        **total,
    }


def pack(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Indices of rows in bins of at most `capacity` tokens: the longest first, each into the first bin with room
    (first-fit decreasing)."""
    bins: list[list[int]] = []
    room: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        place = next((number for number, left in enumerate(room) if left >= lengths[index]), len(bins))
        if place == len(bins):
            bins.append([])
            room.append(capacity)
        bins[place].append(index)
        room[place] -= lengths[index]
    return bins


def _fill(bins: list[list[int]], pieces: list[torch.Tensor], width: int, value: int | None) -> torch.Tensor:
    """(B, width) each bin's pieces end to end; the rest is `value`, or counts up from 0 where that is None."""
    filled = []
    for bin_ in bins:
        line = torch.cat([pieces[index] for index in bin_])
        left = width - len(line)
        rest = torch.arange(left) if value is None else torch.full((left,), value)
        filled.append(torch.cat([line, rest]))
    return torch.stack(filled)


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
