"""Variable-length causal attention for rows packed end to end into one line: each row attends to itself only.

The line's `attention_mask` is no mask but cu_seqlens, the rows' cumulative lengths, int32 (1, 1, 1, rows + 1):
Transformers hands a mask of four dimensions to the attention function unchanged, through gradient checkpointing and
wrappers too. Shapes: B batch, T tokens of the line, L longest row of a group, D head size.
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

NAME = "varlen_attention"  # by which Transformers finds it
SHORT = 256  # tokens: up to here two matrix products and a softmax are faster on a CPU than its fused kernel's backward


@torch.compiler.disable  # row lengths differ from step to step, and each new set of them would be compiled again
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
    """Causal attention, row by row where `attention_mask` holds cu_seqlens; else Transformers' own for 'sdpa'.

    query (B, heads, T, D), key and value (B, fewer or as many heads, T, D); returns (B, T, heads, D). The longest row
    of a line comes first, as collate.collate arranges them. Raises NotImplementedError for attention dropout, sliding
    windows and soft-capping.
    """
    if attention_mask is None or attention_mask.dtype != torch.int32:
        output, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
        return output, None  # (B, T, heads, D)
    if dropout or kwargs.get("sliding_window") or kwargs.get("softcap"):
        raise NotImplementedError("varlen_attention supports plain causal attention only")
    repeats = query.shape[1] // key.shape[1]
    key, value = repeat_kv(key, repeats), repeat_kv(value, repeats)  # (1, heads, T, D)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    cu_seqlens = attention_mask.flatten().tolist()  # (rows + 1,)
    groups = group_rows(tuple(end - start for start, end in pairwise(cu_seqlens)))
    sizes = [sum(lengths) for lengths in groups]
    # Each (1, heads, tokens of the group, D):
    parts = zip(query.split(sizes, 2), key.split(sizes, 2), value.split(sizes, 2), groups, strict=True)
    outputs = [(_short if lengths[0] <= SHORT else _long)(q, k, v, lengths, scale) for q, k, v, lengths in parts]
    return torch.cat(outputs, dim=2).transpose(1, 2), None  # (1, T, heads, D)


@lru_cache(maxsize=64)
def group_rows(lengths: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Neighbouring rows of similar length: none is shorter than half the first, and a group has either short or long
    rows (see SHORT)."""
    groups: list[list[int]] = []
    for length in lengths:
        first = groups[-1][0] if groups else 0
        if first and 2 * length > first >= length and (first <= SHORT or length > SHORT):
            groups[-1].append(length)
        else:
            groups.append([length])
    return [tuple(group) for group in groups]


def _short(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, lengths: tuple[int, ...], scale: float) -> torch.Tensor:
    """q, k, v (1, heads, T, D) -> (1, heads, T, D), as one batch of rows padded to the longest.

    Padding comes last in a row, so under the causal mask no real query sees it.
    """
    padding = padding_of(lengths)
    heads, size = q.shape[1], q.shape[3]

    def pad(part: torch.Tensor) -> torch.Tensor:
        tokens = _Pad.apply(part[0].transpose(0, 1), padding)  # (1, heads, T, D) -> (rows * L, heads, D)
        return tokens.view(len(lengths), lengths[0], heads, size).transpose(1, 2)  # (rows, heads, L, D)

    scores = (pad(q) * scale) @ pad(k).transpose(-1, -2)  # (rows, heads, L, L)
    weights = scores.masked_fill(padding.causal_mask, float("-inf")).softmax(-1).to(v.dtype)  # (rows, heads, L, L)
    output = (weights @ pad(v)).transpose(1, 2).reshape(-1, heads, size)  # (rows * L, heads, D)
    return _Unpad.apply(output, padding).transpose(0, 1)[None]  # (1, heads, T, D)


def _long(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, lengths: tuple[int, ...], scale: float) -> torch.Tensor:
    """q, k, v (1, heads, T, D) -> (1, heads, T, D), by the fused kernel, one row at a time."""
    rows = zip(q.split(lengths, 2), k.split(lengths, 2), v.split(lengths, 2), strict=True)
    attention = functional.scaled_dot_product_attention
    return torch.cat([attention(*row, is_causal=True, scale=scale) for row in rows], dim=2)  # (1, heads, T, D)


@dataclass(frozen=True, slots=True)
class Padding:
    """How the T tokens of a group map to a padded batch of rows of L positions.

    pad_index (rows * L,): the token at each padded position, 0 at padding. unpad_index (T,): the padded position of
    each token. is_padding (rows * L, 1, 1). causal_mask (L, L): True where a query (first axis) may not see a key.
    """

    pad_index: torch.Tensor
    unpad_index: torch.Tensor
    is_padding: torch.Tensor
    causal_mask: torch.Tensor


class _Pad(torch.autograd.Function):
    """Packed tokens (T, heads, D) -> padded rows (rows * L, heads, D).

    Its gradient, and that of _Unpad, is a plain selection: torch's own adds up, which is slow where it has to be
    deterministic.
    """

    @staticmethod
    def forward(ctx: Any, tokens: torch.Tensor, padding: Padding) -> torch.Tensor:
        ctx.padding = padding
        return tokens.index_select(0, padding.pad_index)  # (rows * L, heads, D)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> tuple[torch.Tensor, None]:
        return grad_outputs[0].index_select(0, ctx.padding.unpad_index), None  # (T, heads, D)


class _Unpad(torch.autograd.Function):
    """Padded rows (rows * L, heads, D) -> packed tokens (T, heads, D)."""

    @staticmethod
    def forward(ctx: Any, padded: torch.Tensor, padding: Padding) -> torch.Tensor:
        ctx.padding = padding
        return padded.index_select(0, padding.unpad_index)  # (T, heads, D)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> tuple[torch.Tensor, None]:
        grad_padded = grad_outputs[0].index_select(0, ctx.padding.pad_index)  # (rows * L, heads, D)
        return grad_padded.masked_fill_(ctx.padding.is_padding, 0), None


@lru_cache(maxsize=64)
def padding_of(lengths: tuple[int, ...]) -> Padding:
    """How a group of rows of these lengths, the longest first, is padded."""
    sizes = torch.tensor(lengths)  # (rows,)
    positions = torch.arange(lengths[0])  # (L,)
    starts = sizes.cumsum(0) - sizes  # (rows,)
    is_real = positions < sizes[:, None]  # (rows, L)
    pad_index = torch.where(is_real, starts[:, None] + positions, 0).flatten()  # (rows * L,)
    unpad_index = is_real.flatten().nonzero().squeeze(1)  # (T,)
    is_padding = ~is_real.flatten()[:, None, None]  # (rows * L, 1, 1)
    causal_mask = positions[None] > positions[:, None]  # (L, L)
    return Padding(pad_index, unpad_index, is_padding, causal_mask)


ALL_ATTENTION_FUNCTIONS.register(NAME, attend)
ALL_MASK_ATTENTION_FUNCTIONS.register(NAME, sdpa_mask)
