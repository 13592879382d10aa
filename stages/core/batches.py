"""Rows -> tensors: stacked where they are equally long, else packed end to end, else padded."""

from collections.abc import Sequence
from typing import Any

import torch

IGNORED = -100  # target of a position that has none, as in Transformers


def collate(rows: Sequence[dict[str, Any]], pad_id: int, packing: bool) -> dict[str, Any]:
    """Put rows (`input_ids`, `target_start`) into one batch.

    Returns input_ids (B, L), what tells rows and padding apart, and where logits are needed:
    - equally long rows: input_ids alone;
    - packing: B = 1, L = all tokens, and position_ids (1, L) that restart with each row, from which Transformers
      makes block-diagonal attention, so that no row sees another;
    - else: attention_mask (B, L), 0 on the padding at the end of shorter rows.
    logits_to_keep: the C positions whose logits are needed, (C,) positions or the number of last ones.
    shift_labels (B, C): the token that follows each of them, IGNORED where that is no target.
    The loss is the same in all three.
    """
    ids = [torch.as_tensor(row["input_ids"]).long() for row in rows]
    following = [_following(tokens, row["target_start"]) for tokens, row in zip(ids, rows, strict=True)]
    lengths = [len(tokens) for tokens in ids]
    if min(lengths) == max(lengths):
        return {"input_ids": torch.stack(ids), **_last_columns(torch.stack(following))}
    if packing:
        positions = torch.cat([torch.arange(length) for length in lengths])
        targets = torch.cat(following)
        wanted = (targets != IGNORED).nonzero().squeeze(1)
        return {
            "input_ids": torch.cat(ids)[None],
            "position_ids": positions[None],
            "logits_to_keep": wanted,
            "shift_labels": targets[wanted][None],
        }
    pad = torch.nn.utils.rnn.pad_sequence
    return {
        "input_ids": pad(ids, batch_first=True, padding_value=pad_id),
        "attention_mask": pad([torch.ones_like(tokens) for tokens in ids], batch_first=True),
        **_last_columns(pad(following, batch_first=True, padding_value=IGNORED)),
    }


def _following(ids: torch.Tensor, target_start: int) -> torch.Tensor:
    """(L,) the token after each position where it is a target, else IGNORED."""
    following = torch.full_like(ids, IGNORED)
    following[target_start - 1 : -1] = ids[target_start:]
    return following


def _last_columns(following: torch.Tensor) -> dict[str, Any]:
    """Columns from the first with a target on: counted from the end, so that no gather is needed."""
    first = int((following != IGNORED).any(dim=0).nonzero()[0])
    return {"logits_to_keep": following.shape[1] - first, "shift_labels": following[:, first:]}


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
