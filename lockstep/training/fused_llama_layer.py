"""One Llama layer as a single operation with a gradient written by hand, for training on a CPU.

Transformers' layer is some sixty operations, and autograd adds twice as many; on a CPU most of a training step passes
in them and in conversions between fp32 and bf16, not in matrix products. Here everything but the residual stream, the
norms' statistics and the weights is in the dtype of autocast, queries, keys and values come from one product, and keys
are not repeated for the query heads that share them.

Shapes: T tokens of a line of packed rows (see collate.collate), H hidden size, N query heads, K key-value heads,
G = N / K, D head size, F width of the MLP; R rows of a group (see varlen_attention), L the longest of them.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional
from transformers.activations import SiLUActivation
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from lockstep.training.varlen_attention import SHORT, Padding, group_rows, padding_of


class Norm(NamedTuple):
    """An RMS norm's results. normed (T, H) in the dtype of products; inverse (T, 1), 1 / root mean square, fp32."""

    normed: torch.Tensor
    inverse: torch.Tensor


@dataclass(frozen=True, slots=True)
class Shape:
    """What the operation must know beside its tensors. lengths: of the rows of the line. dtype: of products."""

    heads: int
    kv_heads: int
    head_size: int
    eps: float
    scale: float
    lengths: tuple[int, ...]
    dtype: torch.dtype

    @property
    def q_size(self) -> int:
        """N * D."""
        return self.heads * self.head_size

    @property
    def kv_size(self) -> int:
        """K * D."""
        return self.kv_heads * self.head_size


class LlamaLayer(torch.autograd.Function):
    """hidden (T, H) fp32, cos and sin (T, D / 2), the layer's weights -> hidden (T, H) fp32."""

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, shape: Shape, *weights: torch.Tensor
    ) -> torch.Tensor:
        norm_1, wq, wk, wv, wo, norm_2, gate, up, down = weights
        dtype = shape.dtype
        w_qkv, w_o = torch.cat([w.to(dtype) for w in (wq, wk, wv)]), wo.to(dtype)  # (N D + 2 K D, H), (H, N D)
        w_gate_up, w_down = torch.cat([gate.to(dtype), up.to(dtype)]), down.to(dtype)  # (2 F, H), (H, F)
        first = _norm(hidden, norm_1, shape)
        qkv = _rotate(first.normed @ w_qkv.t(), cos, sin, shape)  # (T, N D + 2 K D)
        attended, probabilities = _attend(qkv, shape)  # (T, N D)
        middle = hidden + attended @ w_o.t()  # (T, H) fp32
        second = _norm(middle, norm_2, shape)
        gate_up = second.normed @ w_gate_up.t()  # (T, 2 F)
        inner = functional.silu(gate_up[:, : len(gate)]) * gate_up[:, len(gate) :]  # (T, F)
        ctx.shape = shape
        ctx.save_for_backward(
            hidden, cos, sin, norm_1, norm_2, w_qkv, w_o, w_gate_up, w_down, *first, qkv, attended, middle, *second,
            gate_up, inner, *probabilities,
        )  # fmt: skip
        return torch.add(middle, inner @ w_down.t())

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        shape: Shape = ctx.shape
        (
            hidden, cos, sin, norm_1, norm_2, w_qkv, w_o, w_gate_up, w_down, normed_1, inverse_1, qkv, attended, middle,
            normed_2, inverse_2, gate_up, inner, *probabilities,
        ) = ctx.saved_tensors  # fmt: skip
        [grad] = grad_outputs  # (T, H) fp32
        low = grad.to(shape.dtype)  # (T, H)
        grad_down = low.t() @ inner  # (H, F)
        grad_gate_up = _silu_product_backward(low @ w_down, gate_up)  # (T, 2 F)
        grad_w_gate_up = grad_gate_up.t() @ normed_2  # (2 F, H)
        grad_middle, grad_norm_2 = _norm_backward(grad_gate_up @ w_gate_up, middle, Norm(normed_2, inverse_2), norm_2)
        grad_middle += grad  # (T, H) fp32
        low = grad_middle.to(shape.dtype)  # (T, H)
        grad_w_o = low.t() @ attended  # (H, N D)
        grad_qkv = _attend_backward(low @ w_o, qkv, probabilities, shape)  # (T, N D + 2 K D)
        grad_qkv = _rotate(grad_qkv, cos, -sin, shape)
        grad_w_qkv = grad_qkv.t() @ normed_1  # (N D + 2 K D, H)
        grad_hidden, grad_norm_1 = _norm_backward(grad_qkv @ w_qkv, hidden, Norm(normed_1, inverse_1), norm_1)
        grad_hidden += grad_middle
        sizes = [shape.q_size, shape.kv_size, shape.kv_size]
        matrices = (*grad_w_qkv.split(sizes), grad_w_o, *grad_w_gate_up.chunk(2), grad_down)
        q, k, v, o, g, u, d = (matrix.float() for matrix in matrices)
        return grad_hidden, None, None, None, grad_norm_1, q, k, v, o, grad_norm_2, g, u, d


def _norm(hidden: torch.Tensor, weight: torch.Tensor, shape: Shape) -> Norm:
    """RMS norm (Zhang and Sennrich 2019) of hidden (T, H) with weight (H,)."""
    inverse = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True)  # (T, 1)
    inverse = inverse.square_().div_(hidden.shape[-1]).add_(shape.eps).rsqrt_()  # (T, 1)
    return Norm((hidden * inverse).mul_(weight).to(shape.dtype), inverse)


def _norm_backward(
    grad: torch.Tensor, hidden: torch.Tensor, norm: Norm, weight: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The gradients of hidden (T, H) fp32 and of the weight (H,), from that of the normed states (T, H)."""
    grad = grad.float()  # (T, H)
    unit = hidden * norm.inverse  # (T, H)
    grad_weight = (grad * unit).sum(0)  # (H,)
    grad = grad * weight  # (T, H)
    mean = (grad * unit).mean(-1, keepdim=True)  # (T, 1)
    return grad.sub_(unit.mul_(mean)).mul_(norm.inverse), grad_weight


def _rotate(qkv: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, shape: Shape) -> torch.Tensor:
    """Rotary positions (Su et al. 2021) of queries and keys, in place; -sin turns back. qkv (T, N D + 2 K D)."""
    heads = shape.heads + shape.kv_heads
    states = qkv[:, : heads * shape.head_size].view(len(qkv), heads, 2, -1)  # (T, N + K, 2, D / 2)
    left, right = states[:, :, 0], states[:, :, 1]  # (T, N + K, D / 2) each
    cos, sin = cos[:, None], sin[:, None]  # (T, 1, D / 2)
    turned = (left * cos).sub_(right * sin)  # (T, N + K, D / 2)
    right.mul_(cos).add_(left * sin)
    left.copy_(turned)
    return qkv


def _groups(shape: Shape) -> list[tuple[slice, Padding, int, int]]:
    """Each group's tokens, their padding, R and L."""
    groups = group_rows(shape.lengths)
    ends = torch.tensor([0, *(sum(group) for group in groups)]).cumsum(0).tolist()
    return [
        (slice(start, end), padding_of(group), len(group), group[0])
        for (start, end), group in zip(pairwise(ends), groups, strict=True)
    ]


def _heads(padded: torch.Tensor, rows: int, kv_heads: int, head_size: int) -> torch.Tensor:
    """(R L, K G D) -> (R K, G L, D), the query heads that share keys one below the other."""
    length = len(padded) // rows
    states = padded.view(rows, length, kv_heads, -1, head_size).permute(0, 2, 3, 1, 4)  # (R, K, G, L, D)
    return states.reshape(rows * kv_heads, -1, head_size)


def _tokens(states: torch.Tensor, rows: int, kv_heads: int, length: int) -> torch.Tensor:
    """The inverse of _heads: (R K, G L, D) -> (R L, K G D)."""
    head_size = states.shape[-1]
    return states.view(rows, kv_heads, -1, length, head_size).permute(0, 3, 1, 2, 4).reshape(rows * length, -1)


def _split_heads(qkv: torch.Tensor, rows: int, shape: Shape) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Queries (R K, G L, D), keys and values (R K, L, D) of padded tokens (R L, N D + 2 K D)."""
    q, k, v = qkv.split([shape.q_size, shape.kv_size, shape.kv_size], dim=1)
    return tuple(_heads(part, rows, shape.kv_heads, shape.head_size) for part in (q, k, v))  # type: ignore[return-value]


def _attend(qkv: torch.Tensor, shape: Shape) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Causal attention of each row to itself: (T, N D), and each group's probabilities (R K, G L, L)."""
    outputs, kept = [], []
    for tokens, padding, rows, length in _groups(shape):
        q, k, v = _split_heads(qkv[tokens].index_select(0, padding.pad_index), rows, shape)
        scores = torch.bmm(q, k.transpose(1, 2)).mul_(shape.scale)  # (R K, G L, L)
        scores.view(len(scores), -1, length, length).masked_fill_(padding.causal_mask, float("-inf"))
        probabilities = scores.softmax(-1)  # (R K, G L, L)
        output = _tokens(torch.bmm(probabilities, v), rows, shape.kv_heads, length)  # (R L, N D)
        outputs.append(output.index_select(0, padding.unpad_index))  # (tokens of the group, N D)
        kept.append(probabilities)
    return torch.cat(outputs), kept


def _attend_backward(
    grad: torch.Tensor, qkv: torch.Tensor, probabilities: list[torch.Tensor], shape: Shape
) -> torch.Tensor:
    """The gradient of qkv (T, N D + 2 K D), from that of the attention's output (T, N D)."""
    grads = []
    for (tokens, padding, rows, length), p in zip(_groups(shape), probabilities, strict=True):
        q, k, v = _split_heads(qkv[tokens].index_select(0, padding.pad_index), rows, shape)
        padded = grad[tokens].index_select(0, padding.pad_index).masked_fill_(padding.is_padding[:, 0], 0)  # (R L, N D)
        d_out = _heads(padded, rows, shape.kv_heads, shape.head_size)  # (R K, G L, D)
        d_p = torch.bmm(d_out, v.transpose(1, 2))  # (R K, G L, L)
        d_scores = torch._softmax_backward_data(d_p, p, -1, p.dtype).mul_(shape.scale)  # (R K, G L, L)
        parts = (torch.bmm(d_scores, k), torch.bmm(d_scores.transpose(1, 2), q), torch.bmm(p.transpose(1, 2), d_out))
        d_qkv = torch.cat([_tokens(part, rows, shape.kv_heads, length) for part in parts], dim=1)  # (R L, N D + 2 K D)
        grads.append(d_qkv.index_select(0, padding.unpad_index))  # (tokens of the group, N D + 2 K D)
    return torch.cat(grads)


def _silu_product_backward(grad: torch.Tensor, gate_up: torch.Tensor) -> torch.Tensor:
    """The gradient of gate_up (T, 2 F), from that of silu(gate) * up, (T, F)."""
    gate, up = gate_up.chunk(2, dim=1)  # (T, F) each
    result = torch.empty_like(gate_up)  # (T, 2 F)
    d_gate, d_up = result.chunk(2, dim=1)  # (T, F) each
    torch.mul(grad, functional.silu(gate), out=d_up)
    d_gate.copy_(torch.ops.aten.silu_backward(grad * up, gate))
    return result


def can_fuse(layer: Any) -> bool:
    """Whether LlamaLayer computes what this layer does: Llama's own layer, of plain linear layers without biases."""
    if type(layer) is not LlamaDecoderLayer or not isinstance(layer.mlp.act_fn, nn.SiLU | SiLUActivation):
        return False
    linear = [module for module in _modules(layer) if "Norm" not in type(module).__name__]
    return all(type(one) is nn.Linear and one.bias is None and one.weight.requires_grad for one in linear)


def fuse(layer: Any) -> None:
    """Make a layer that can_fuse allows compute with LlamaLayer while it trains on packed rows."""
    original = layer.forward

    def forward(hidden_states: torch.Tensor, attention_mask: torch.Tensor | None = None, **kwargs: Any) -> torch.Tensor:
        lengths = _row_lengths(attention_mask)
        if not lengths or max(lengths) > SHORT or kwargs.get("use_cache"):
            result: torch.Tensor = original(hidden_states, attention_mask=attention_mask, **kwargs)
            return result
        cos, sin = kwargs["position_embeddings"]  # (1, T, D) each, its halves equal
        shape = _shape(layer, lengths, hidden_states)
        half = shape.head_size // 2
        tables = [table[0, :, :half].to(shape.dtype) for table in (cos, sin)]  # (T, D / 2) each
        output: torch.Tensor = LlamaLayer.apply(hidden_states[0].float(), *tables, shape, *_weights(layer))
        return output[None]

    layer.forward = forward


def _row_lengths(attention_mask: torch.Tensor | None) -> tuple[int, ...]:
    """The lengths of a line's rows, see varlen_attention; () for any other batch."""
    if attention_mask is None or attention_mask.dtype != torch.int32:
        return ()
    return tuple(end - start for start, end in pairwise(attention_mask.flatten().tolist()))


def _shape(layer: Any, lengths: tuple[int, ...], hidden: torch.Tensor) -> Shape:
    attention = layer.self_attn
    size: int = attention.head_dim
    return Shape(
        heads=attention.q_proj.out_features // size,
        kv_heads=attention.k_proj.out_features // size,
        head_size=size,
        eps=layer.input_layernorm.variance_epsilon,
        scale=attention.scaling,
        lengths=lengths,
        dtype=torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else hidden.dtype,
    )


def _weights(layer: Any) -> tuple[torch.Tensor, ...]:
    """The layer's weights, in the order of LlamaLayer's arguments."""
    return tuple(module.weight for module in _modules(layer))


def _modules(layer: Any) -> tuple[Any, ...]:
    attention, mlp = layer.self_attn, layer.mlp
    projections = (attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj)
    norms = layer.input_layernorm, layer.post_attention_layernorm
    return (norms[0], *projections, norms[1], mlp.gate_proj, mlp.up_proj, mlp.down_proj)
