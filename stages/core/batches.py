"""Rows -> tensors: stacked where they are equally long, else packed end to end, else padded."""

from collections.abc import Sequence
from typing import Any

import torch

IGNORED = -100  # label of a position that is no target, as in Transformers


def collate(rows: Sequence[dict[str, Any]], pad_id: int, packing: bool) -> dict[str, torch.Tensor]:
    """Put rows (`input_ids`, `target_start`) into one batch.

    Returns input_ids and labels (B, L), labels IGNORED where a token is no target, and
    - equally long rows: nothing more;
    - packing: B = 1, L = all tokens, and position_ids (1, L) that restart with each row, from which Transformers
      makes block-diagonal attention, so that no row sees another;
    - else: attention_mask (B, L), 0 on the padding at the end of shorter rows.
    The loss is the same in all three.
    """
    ids = [torch.as_tensor(row["input_ids"]).long() for row in rows]
    labels = [_labels(tokens, row["target_start"]) for tokens, row in zip(ids, rows, strict=True)]
    lengths = [len(tokens) for tokens in ids]
    if min(lengths) == max(lengths):
        return {"input_ids": torch.stack(ids), "labels": torch.stack(labels)}
    if packing:
        positions = torch.cat([torch.arange(length) for length in lengths])
        return {
            "input_ids": torch.cat(ids)[None],
            "labels": torch.cat(labels)[None],
            "position_ids": positions[None],
        }
    pad = torch.nn.utils.rnn.pad_sequence
    mask = [torch.ones(length, dtype=torch.long) for length in lengths]
    return {
        "input_ids": pad(ids, batch_first=True, padding_value=pad_id),
        "labels": pad(labels, batch_first=True, padding_value=IGNORED),
        "attention_mask": pad(mask, batch_first=True),
    }


def _labels(ids: torch.Tensor, target_start: int) -> torch.Tensor:
    labels = ids.clone()
    labels[:target_start] = IGNORED
    return labels


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
