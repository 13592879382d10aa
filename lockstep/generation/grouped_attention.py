"""Attention for models whose query heads share key-value heads, without repeating keys and values for each of them.

Shapes: B sequences, T tokens, N query heads, K key-value heads, G = N / K, D head size, P positions.
"""

from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, eager_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

NAME = "grouped_attention"  # by which Transformers finds it


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Plain products and a softmax, as Transformers' 'eager'. query (B, N, T, D), key and value (B, K, P, D), an added
    attention_mask (B, 1, T, P); returns (B, T, N, D). Raises NotImplementedError for soft-capping."""
    if kwargs.get("softcap"):
        raise NotImplementedError("grouped_attention supports plain attention only")
    batch, heads, tokens, size = query.shape
    kv_heads = key.shape[1]
    groups = query.reshape(batch, kv_heads, heads // kv_heads * tokens, size)  # (B, K, G T, D)
    scores = groups @ key.transpose(2, 3) * (size**-0.5 if scaling is None else scaling)  # (B, K, G T, P)
    if attention_mask is not None:
        scores = scores.view(batch, kv_heads, -1, tokens, key.shape[2]) + attention_mask[:, :, None]  # (B, K, G, T, P)
        scores = scores.view(batch, kv_heads, -1, key.shape[2])  # (B, K, G T, P)
    weights = scores.softmax(-1, dtype=torch.float32).to(query.dtype)  # (B, K, G T, P)
    output = (weights @ value).view(batch, heads, tokens, size)  # (B, N, T, D)
    return output.transpose(1, 2).contiguous(), None


def shares_heads(model: PreTrainedModel) -> bool:
    """Whether several query heads of a model share one key-value head."""
    config = model.config.get_text_config()
    kv_heads = getattr(config, "num_key_value_heads", None)
    return bool(kv_heads) and kv_heads < config.num_attention_heads


ALL_ATTENTION_FUNCTIONS.register(NAME, attend)
ALL_MASK_ATTENTION_FUNCTIONS.register(NAME, eager_mask)
