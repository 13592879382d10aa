"""Attention for rows that lie end to end in one line: each row sees itself alone, and nothing is padded but here.

The line's `attention_mask` is not a mask but the rows' bounds, int32 (1, 1, 1, rows + 1): Transformers hands a
mask of four dimensions to the attention function as it is, through gradient checkpointing and wrappers too.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import torch
from torch.nn import functional
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

NAME = "row_attention"
SHORT = 256  # tokens: up to here two matrix products and a softmax are faster on a CPU than its fused kernel's backward


@torch.compiler.disable  # the rows' lengths differ from step to step: compiled, each set of them would be made anew
def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention, row by row where `attention_mask` holds bounds; else Transformers' own for 'sdpa'.

    query (B, heads, T, D), key and value (B, fewer or as many heads, T, D); returns (B, T, heads, D). The longest row
    of a line comes first, as batches.collate puts them.
    """
    if attention_mask is None or attention_mask.dtype != torch.int32:
        attended = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
        return attended[0], None
    if dropout or kwargs.get("sliding_window") or kwargs.get("softcap"):
        raise NotImplementedError("row_attention knows plain causal attention only")
    key, value = (repeat_kv(part, query.shape[1] // part.shape[1]) for part in (key, value))
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    bounds = attention_mask.flatten().tolist()
    groups = group_rows(tuple(end - start for start, end in pairwise(bounds)))
    sizes = [sum(lengths) for lengths in groups]
    pieces = zip(query.split(sizes, 2), key.split(sizes, 2), value.split(sizes, 2), groups, strict=True)
    attended = [(_short if lengths[0] <= SHORT else _long)(q, k, v, lengths, scale) for q, k, v, lengths in pieces]
    return torch.cat(attended, dim=2).transpose(1, 2), None


@lru_cache(maxsize=64)
def group_rows(lengths: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Neighbouring rows of similar length: none is shorter than half the first, and short and long ones are apart."""
    groups: list[list[int]] = []
    for length in lengths:
        first = groups[-1][0] if groups else 0
        if first and 2 * length > first >= length and (first <= SHORT or length > SHORT):
            groups[-1].append(length)
        else:
            groups.append([length])
    return [tuple(group) for group in groups]


def _short(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, lengths: tuple[int, ...], scale: float) -> torch.Tensor:
    """(1, heads, T, D) Rows padded to the longest, whose padding comes last and so is never seen by a causal row."""
    padding = _padding(lengths)
    heads, size = q.shape[1], q.shape[3]

    def pad(part: torch.Tensor) -> torch.Tensor:  # (1, heads, T, D) -> (rows, heads, longest, D)
        tokens = _Pad.apply(part[0].transpose(0, 1), padding)
        return tokens.view(len(lengths), lengths[0], heads, size).transpose(1, 2)

    scores = (pad(q) * scale) @ pad(k).transpose(-1, -2)
    attended = scores.masked_fill(padding.unseen, float("-inf")).softmax(-1).to(v.dtype) @ pad(v)
    return _Unpad.apply(attended.transpose(1, 2).reshape(-1, heads, size), padding).transpose(0, 1)[None]


def _long(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, lengths: tuple[int, ...], scale: float) -> torch.Tensor:
    """(1, heads, T, D) The fused kernel, a row at a time."""
    rows = zip(q.split(lengths, 2), k.split(lengths, 2), v.split(lengths, 2), strict=True)
    attention = functional.scaled_dot_product_attention
    return torch.cat([attention(*row, is_causal=True, scale=scale) for row in rows], dim=2)


@dataclass(frozen=True, slots=True)
class Padding:
    """apart (rows * longest,): the token of each padded place, any where it has none. together (T,): the place of each
    token. empty (rows * longest, 1, 1): places without a token. unseen (longest, longest): keys a query may not see."""

    apart: torch.Tensor
    together: torch.Tensor
    empty: torch.Tensor
    unseen: torch.Tensor


class _Pad(torch.autograd.Function):
    """Rows end to end -> rows apart. Its gradient, and that of the way back, is a plain choice of places: torch's own
    adds up, which takes long where it has to be repeatable."""

    @staticmethod
    def forward(ctx: Any, tokens: torch.Tensor, padding: Padding) -> torch.Tensor:
        ctx.padding = padding
        return tokens.index_select(0, padding.apart)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradients[0].index_select(0, ctx.padding.together), None


class _Unpad(torch.autograd.Function):
    """Rows apart -> rows end to end."""

    @staticmethod
    def forward(ctx: Any, places: torch.Tensor, padding: Padding) -> torch.Tensor:
        ctx.padding = padding
        return places.index_select(0, padding.together)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradients[0].index_select(0, ctx.padding.apart).masked_fill_(ctx.padding.empty, 0), None


@lru_cache(maxsize=64)
def _padding(lengths: tuple[int, ...]) -> Padding:
    longest = lengths[0]
    places = torch.arange(longest)
    ends = torch.tensor(lengths).cumsum(0)
    starts = ends - torch.tensor(lengths)
    real = places < torch.tensor(lengths)[:, None]
    apart = torch.where(real, starts[:, None] + places, 0).flatten()
    empty = ~real.flatten()
    return Padding(apart, (~empty).nonzero().squeeze(1), empty[:, None, None], places[None] > places[:, None])


ALL_ATTENTION_FUNCTIONS.register(NAME, attend)
ALL_MASK_ATTENTION_FUNCTIONS.register(NAME, sdpa_mask)
