"""The loss straight from the output layer: logits exist for a piece of the targets at a time, and only in passing.

The gradients of a softmax are at hand as soon as its loss is, so the forward pass makes them too, and nothing the size
of the vocabulary is kept for the backward pass.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

PIECE_BYTES = {"cpu": 256 << 20, "cuda": 1 << 30}  # logits of a piece
STEP = 64  # rows are filled up to a multiple: a CPU's matrix kernels are made anew for each new size
BLOCK = 128  # rows of a piece whose softmax stays in a CPU's cache
TILE = 6272  # words of the vocabulary that a CPU multiplies at a time, so that weights and results stay in its cache


class OutputLoss(torch.autograd.Function):
    """Sum of -ln p over targets, from the hidden states that lead to them.

    hidden (T, H), weight (V, H), places (N,) in hidden, each but once, and targets (N,) -> scalar fp32.
    d loss / d logits = softmax(logits) - onehot(target).
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, places: torch.Tensor, targets: torch.Tensor
    ) -> torch.Tensor:
        kind = _product_type(hidden)
        states, table = _fill_up(hidden.index_select(0, places).to(kind)), weight.to(kind)
        targets = _fill_up(targets)
        nll = torch.zeros((), device=hidden.device)
        to_hidden = torch.empty_like(states)
        to_weight: torch.Tensor | None = None
        for start in range(0, len(states), rows := _piece_rows(table)):
            piece, wanted = states[start : start + rows], targets[start : start + rows]
            slopes = _logits(piece, table)  # soon their gradients
            nll += _softmax_slopes(slopes, wanted, max(0, len(places) - start))
            torch.mm(slopes, table, out=to_hidden[start : start + rows])
            if ctx.needs_input_grad[1]:
                to_weight = _add_products(to_weight, slopes, piece, weight.dtype)
        if ctx.needs_input_grad[1] and to_weight is None:  # a process without a row: others wait for its gradient
            to_weight = torch.zeros_like(weight)
        ctx.shape, ctx.dtype = hidden.shape, hidden.dtype
        ctx.save_for_backward(to_hidden, to_weight, places)
        return nll

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None, None, None]:
        to_hidden, to_weight, places = ctx.saved_tensors
        to_all = torch.zeros(ctx.shape, dtype=ctx.dtype, device=to_hidden.device)
        to_all.index_copy_(0, places, to_hidden[: len(places)].to(ctx.dtype) * gradients[0])
        # In place: a copy the size of the vocabulary would cost more than the product. There is no second backward.
        return to_all, None if to_weight is None else to_weight.mul_(gradients[0]), None, None


def _fill_up(rows: torch.Tensor) -> torch.Tensor:
    """Rows of zeros added up to a multiple of STEP, none where there are none."""
    rest = -len(rows) % STEP
    return torch.cat([rows, rows.new_zeros((rest, *rows.shape[1:]))]) if rest and rows.device.type == "cpu" else rows


def _logits(states: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """states (N, H) times table (V, H) -> (N, V), whose rows begin at multiples of 64 numbers: a CPU's products are a
    third faster then than with GPT-2's 50,257 words end to end."""
    words = len(table)
    logits = states.new_empty((len(states), -(-words // STEP) * STEP))[:, :words]
    for tile in _tiles(table):
        torch.mm(states, table[tile].t(), out=logits[:, tile])
    return logits


def _add_products(
    total: torch.Tensor | None, slopes: torch.Tensor, states: torch.Tensor, kind: torch.dtype
) -> torch.Tensor:
    """slopes (N, V), transposed, times states (N, H) -> (V, H) of this kind, added to what earlier pieces gave."""
    first = total is None
    total = states.new_empty((slopes.shape[1], states.shape[1]), dtype=kind) if total is None else total
    for tile in _tiles(total):
        products = slopes[:, tile].t() @ states
        if first:
            total[tile] = products
        else:
            total[tile] += products
    return total


def _tiles(table: torch.Tensor) -> list[slice]:
    """Pieces of the vocabulary: all of it at once but on a CPU."""
    step = TILE if table.device.type == "cpu" else len(table)
    return [slice(start, start + step) for start in range(0, len(table), step)]


def _softmax_slopes(logits: torch.Tensor, targets: torch.Tensor, count: int) -> torch.Tensor:
    """Turn logits (N, V) into softmax - onehot, in place, and return the sum of -ln p of the first `count` targets; the
    other rows become zeros."""
    logits[count:] = 0
    logits, targets = logits[:count], targets[:count]
    nll = torch.zeros((), device=logits.device)
    step = BLOCK if logits.device.type == "cpu" else len(logits)
    for start in range(0, len(logits), step):
        block, wanted = logits[start : start + step], targets[start : start + step, None]
        chances = block.softmax(-1, dtype=torch.float32)
        # ln of the sum of exponentials, from the likeliest token, whose chance is never too small for its logarithm.
        total = block.amax(-1).float() - chances.amax(-1).log()
        nll += (total - block.gather(1, wanted)[:, 0].float()).sum()
        chances.scatter_(1, wanted, chances.gather(1, wanted) - 1)
        block.copy_(chances)
    return nll


def _product_type(hidden: torch.Tensor) -> torch.dtype:
    """The number format autocast would multiply in."""
    device = hidden.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype


def _piece_rows(table: torch.Tensor) -> int:
    budget = PIECE_BYTES.get(table.device.type, PIECE_BYTES["cpu"])
    return max(BLOCK, budget // (table.element_size() * table.shape[0]))


def plain_output(model: Any) -> nn.Linear | None:
    """A model's output layer where it is a linear one without bias, which OutputLoss can stand in for."""
    head = getattr(model, "module", model).get_output_embeddings()
    return head if type(head) is nn.Linear and head.bias is None else None


@contextmanager
def loss_for_logits(head: nn.Linear, target_index: torch.Tensor, targets: torch.Tensor) -> Iterator[None]:
    """Inside, the output layer gives the summed loss of a batch, (1, 1, 1), in place of logits.

    It is called by the model as ever, so that wrappers for several processes see nothing unusual. target_index (N,):
    places in the flattened batch.
    """

    @torch.compiler.disable
    def forward(states: torch.Tensor) -> torch.Tensor:
        return OutputLoss.apply(states.flatten(0, 1), head.weight, target_index, targets).view(1, 1, 1)

    head.forward = forward  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        del head.forward
