"""The loss of one step, in the fastest way that this very model computes right.

Some models take rows end to end, some ignore position_ids and would mix them; most have a plain output layer, some do
more to their logits. Which holds is not looked up but tried, on a few rows, before training.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional
from transformers import PreTrainedModel

from lockstep.modeling.collate import Layout, collate
from lockstep.modeling.device import Hardware
from lockstep.modeling.scoring import MODEL_INPUTS, target_logits, to_device
from lockstep.training import varlen_attention
from lockstep.training.fused_cross_entropy import loss_for_logits, plain_output

AGREES = 1e-3  # largest difference of logits in fp32, over their spread, that is taken for rounding
LONGEST_TRIED = 64  # tokens


@dataclass(frozen=True, slots=True)
class TrainingStep:
    """layout: how the rows of a batch lie (see batches.collate). fused: the loss comes straight from output_loss."""

    layout: Layout
    fused: bool

    def loss(self, model: Any, batch: dict[str, Any]) -> torch.Tensor:
        """Sum of -ln p over the targets of a batch, scalar tensor."""
        head = plain_output(model) if self.fused else None
        if head is None:
            return functional.cross_entropy(target_logits(model, batch).float(), batch["targets"], reduction="sum")
        inputs = {name: value for name, value in batch.items() if name in MODEL_INPUTS}
        with loss_for_logits(head, batch["target_index"], batch["targets"]):
            return model(**inputs, use_cache=False).logits.sum()


def choose_step(model: PreTrainedModel, row: dict[str, Any], hardware: Hardware, packing: bool) -> TrainingStep:
    """The fastest way that is right with this model.

    row: any of those to be trained on; pieces of it are tried. packing: false pads rows, and so does a model that can't
    keep them apart. Lines are made for CPUs; they need row_attention, which stays set in the model.
    """
    tried = _pieces(row)
    layouts: list[Layout] = ["bins"] if packing else []
    if packing and hardware.device == "cpu":
        layouts.insert(0, "line")
    usual_attention = model.config._attn_implementation
    was_training = model.training
    model.eval()
    chosen: Layout = "padded"
    with torch.no_grad():
        alone = torch.cat([target_logits(model, _batch(model, [one], "padded")) for one in tried])
        fused = _is_plain(model, _batch(model, tried, "padded"))
        for layout in layouts:
            model.set_attn_implementation(varlen_attention.NAME if layout == "line" else usual_attention)
            if _same_logits(model, _batch(model, tried, layout), alone):
                chosen = layout
                break
        else:
            model.set_attn_implementation(usual_attention)
    model.train(was_training)
    return TrainingStep(chosen, fused)


def _pieces(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Three rows of differing lengths from one, the whole of each a target, in the order of every layout."""
    tokens = list(row["input_ids"])[:LONGEST_TRIED]
    return [{"input_ids": tokens[:length], "target_start": 1} for length in (len(tokens), len(tokens) * 2 // 3 + 1, 2)]


def _batch(model: PreTrainedModel, rows: list[dict[str, Any]], layout: Layout) -> dict[str, Any]:
    return to_device(collate(rows, 0, layout), model.device)


def _same_logits(model: PreTrainedModel, batch: dict[str, Any], expected: torch.Tensor) -> bool:
    """Whether a batch has the logits (N, V) that are expected, but for rounding. Random weights give logits that hardly
    differ, so it is their spread that a difference is held against."""
    try:
        found = target_logits(model, batch)
    except (NotImplementedError, TypeError, ValueError, RuntimeError, IndexError):  # the model can't take such a batch
        return False
    return bool((found - expected).abs().max() <= AGREES * expected.std())


def _is_plain(model: PreTrainedModel, batch: dict[str, Any]) -> bool:
    """Whether logits are what a plain output layer gives, and the model does nothing more to them."""
    head = plain_output(model)
    if head is None:
        return False
    given: list[torch.Tensor] = []
    hook = head.register_forward_hook(lambda layer, inputs, output: given.append(output))
    try:
        return torch.equal(target_logits(model, batch), given[0][0])
    finally:
        hook.remove()
