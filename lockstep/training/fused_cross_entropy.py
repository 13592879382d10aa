"""Fused linear layer and cross-entropy: logits exist for one chunk of the targets at a time, and are never stored.

The gradient of cross-entropy is known as soon as its softmax is, so the forward pass computes it too, and nothing the
size of the vocabulary is kept for the backward pass.

Shapes: T positions of the batch, N targets, H hidden size, V vocabulary size.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

CHUNK_BYTES = {"cpu": 256 << 20, "cuda": 1 << 30}  # size of the logits of one chunk
SIZE_MULTIPLE = 64  # rows are padded to a multiple of it: a CPU's matrix kernels are compiled anew for each new size
SOFTMAX_ROWS = 128  # rows of a chunk whose softmax stays in a CPU's cache
VOCABULARY_TILE = 6272  # entries that a CPU multiplies at a time, so that weight and result stay in its cache


class FusedCrossEntropy(torch.autograd.Function):
    """Sum of -ln p over targets, from hidden states and the weight of the output layer.

    hidden (T, H), weight (V, H), target_index (N,) distinct positions in hidden, targets (N,) -> scalar fp32.
    d loss / d logits = softmax(logits) - onehot(target). Backward runs once: it reuses the gradients' memory.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, target_index: torch.Tensor, targets: torch.Tensor
    ) -> torch.Tensor:
        dtype = _matmul_dtype(hidden)
        num_targets = len(target_index)  # N; below, M is N padded to a multiple of SIZE_MULTIPLE, C rows are a chunk
        states = _pad_rows(hidden.index_select(0, target_index).to(dtype))  # (M, H)
        targets = _pad_rows(targets)  # (M,)
        cast_weight = weight.to(dtype)  # (V, H)
        nll = torch.zeros((), device=hidden.device)  # ()
        grad_states = torch.empty_like(states)  # (M, H)
        grad_weight: torch.Tensor | None = None  # (V, H)
        for start in range(0, len(states), chunk_rows := _chunk_rows(cast_weight)):
            chunk = states[start : start + chunk_rows]  # (C, H)
            logits = _logits(chunk, cast_weight)  # (C, V)
            nll += _loss_and_grad_logits(logits, targets[start : start + chunk_rows], max(0, num_targets - start))
            grad_logits = logits  # (C, V) computed in place
            torch.mm(grad_logits, cast_weight, out=grad_states[start : start + chunk_rows])
            if ctx.needs_input_grad[1]:
                grad_weight = _add_grad_weight(grad_weight, grad_logits, chunk, weight.dtype)
        if ctx.needs_input_grad[1] and grad_weight is None:  # a process without a row: others wait for its gradient
            grad_weight = torch.zeros_like(weight)  # (V, H)
        ctx.hidden_shape, ctx.hidden_dtype = hidden.shape, hidden.dtype
        ctx.save_for_backward(grad_states, grad_weight, target_index)
        return nll

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None, None, None]:
        grad_states, grad_weight, target_index = ctx.saved_tensors
        grad_hidden = torch.zeros(ctx.hidden_shape, dtype=ctx.hidden_dtype, device=grad_states.device)  # (T, H)
        grad_targets = grad_states[: len(target_index)].to(ctx.hidden_dtype) * grad_outputs[0]  # (N, H)
        grad_hidden.index_copy_(0, target_index, grad_targets)
        # In place: a copy the size of the vocabulary would cost more than the product. There is no second backward.
        return grad_hidden, None if grad_weight is None else grad_weight.mul_(grad_outputs[0]), None, None


def _pad_rows(rows: torch.Tensor) -> torch.Tensor:
    """On a CPU, append rows of zeros up to a multiple of SIZE_MULTIPLE; none where there are no rows."""
    missing = -len(rows) % SIZE_MULTIPLE
    if not missing or rows.device.type != "cpu":
        return rows
    return torch.cat([rows, rows.new_zeros((missing, *rows.shape[1:]))])  # (M, ...)


def _logits(states: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """states (C, H) times weight (V, H) transposed -> (C, V).

    It is a view whose rows begin at multiples of SIZE_MULTIPLE numbers: a CPU's products are a third faster that way
    than with rows of GPT-2's 50,257 entries without a gap.
    """
    vocabulary = len(weight)
    padded = states.new_empty((len(states), -(-vocabulary // SIZE_MULTIPLE) * SIZE_MULTIPLE))  # (C, V + padding)
    padded[:, vocabulary:] = 0  # bf16 products on a CPU with AMX read beyond the last column: a NaN there would spread
    logits = padded[:, :vocabulary]  # (C, V)
    for tile in _vocabulary_tiles(weight):
        torch.mm(states, weight[tile].t(), out=logits[:, tile])
    return logits


def _add_grad_weight(
    grad_weight: torch.Tensor | None, grad_logits: torch.Tensor, states: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    """grad_logits (C, V), transposed, times states (C, H) -> (V, H) of this dtype, added to that of earlier chunks."""
    is_first = grad_weight is None
    if grad_weight is None:
        grad_weight = states.new_empty((grad_logits.shape[1], states.shape[1]), dtype=dtype)  # (V, H)
    for tile in _vocabulary_tiles(grad_weight):
        product = grad_logits[:, tile].t() @ states  # (tile, H)
        if is_first:
            grad_weight[tile] = product
        else:
            grad_weight[tile] += product
    return grad_weight


def _vocabulary_tiles(weight: torch.Tensor) -> list[slice]:
    """Slices of the vocabulary: one of all of it, except on a CPU."""
    size = VOCABULARY_TILE if weight.device.type == "cpu" else len(weight)
    return [slice(start, start + size) for start in range(0, len(weight), size)]


def _loss_and_grad_logits(logits: torch.Tensor, targets: torch.Tensor, count: int) -> torch.Tensor:
    """Turn logits (C, V) into their gradients, softmax - onehot, in place, and return the summed -ln p of targets (C,).

    count: only the first `count` rows are real; the gradients of the padding rows after them become zero.
    """
    logits[count:] = 0
    logits, targets = logits[:count], targets[:count]  # (count, V), (count,)
    nll = torch.zeros((), device=logits.device)  # ()
    size = SOFTMAX_ROWS if logits.device.type == "cpu" else len(logits)
    for start in range(0, len(logits), size):
        block = logits[start : start + size]  # (R, V)
        target = targets[start : start + size, None]  # (R, 1)
        probabilities = block.softmax(-1, dtype=torch.float32)  # (R, V)
        # By way of the likeliest token, whose probability is never too small for its logarithm.
        log_sum_exp = block.amax(-1).float() - probabilities.amax(-1).log()  # (R,)
        nll += (log_sum_exp - block.gather(1, target)[:, 0].float()).sum()
        probabilities.scatter_(1, target, probabilities.gather(1, target) - 1)
        block.copy_(probabilities)
    return nll


def _matmul_dtype(hidden: torch.Tensor) -> torch.dtype:
    """The dtype autocast would multiply in."""
    device = hidden.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype


def _chunk_rows(weight: torch.Tensor) -> int:
    """Rows of logits (C, V) that make up one chunk."""
    budget = CHUNK_BYTES.get(weight.device.type, CHUNK_BYTES["cpu"])
    return max(SOFTMAX_ROWS, budget // (weight.element_size() * weight.shape[0]))


def plain_output(model: Any) -> nn.Linear | None:
    """A model's output layer where it is linear without bias, so that FusedCrossEntropy can stand in for it."""
    head = getattr(model, "module", model).get_output_embeddings()
    return head if type(head) is nn.Linear and head.bias is None else None


@contextmanager
def loss_for_logits(head: nn.Linear, target_index: torch.Tensor, targets: torch.Tensor) -> Iterator[None]:
    """Within the block, the output layer returns the summed loss of a batch, (1, 1, 1), in place of logits.

    The model calls the layer as usual, so wrappers for several processes notice nothing. target_index (N,): positions
    in the flattened batch. targets (N,): the tokens to predict there.
    """

    @torch.compiler.disable
    def forward(states: torch.Tensor) -> torch.Tensor:
        hidden = states.flatten(0, 1)  # (B, L, H) -> (T, H)
        return FusedCrossEntropy.apply(hidden, head.weight, target_index, targets).view(1, 1, 1)

    head.forward = forward  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        del head.forward
