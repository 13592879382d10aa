"""The loss of one training step. Which layout and kernel this model supports is probed on a few rows before training.

Some models accept packed rows, others ignore position_ids and would mix the rows up; most have a plain output layer,
others modify their logits afterwards. No list of architectures says which: the logits of a probe do.
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

TOLERANCE = 1e-3  # largest difference of logits in fp32, over their spread, that counts as rounding
LONGEST_PROBE = 64  # tokens


@dataclass(frozen=True, slots=True)
class TrainingStep:
    """How the loss of a batch is computed.

    layout: how rows are arranged in a batch (see collate.collate). fused: whether fused_cross_entropy computes the loss
    from the hidden states, without storing logits.
    """

    layout: Layout
    fused: bool

    def loss(self, model: Any, batch: dict[str, Any]) -> torch.Tensor:
        """Sum of -ln p over the targets of a batch, scalar tensor."""
        head = plain_output(model) if self.fused else None
        if head is None:
            return functional.cross_entropy(target_logits(model, batch).float(), batch["targets"], reduction="sum")
        inputs = {name: value for name, value in batch.items() if name in MODEL_INPUTS}
        with loss_for_logits(head, batch["target_index"], batch["targets"]):
            return model(**inputs, use_cache=False).logits.sum()  # (1, 1, 1) -> ()


def choose_step(model: PreTrainedModel, row: dict[str, Any], hardware: Hardware, packing: bool) -> TrainingStep:
    """The fastest training step that gives this model's own loss.

    row: any training row; its beginnings are the probe. packing: whether rows may share a line or bin; they are padded
    otherwise, and where the model can't keep packed rows apart. The layout 'line' is for CPUs; it needs
    varlen_attention, which stays set in the model.
    """
    probe = _probe_rows(row)
    layouts: list[Layout] = ["bins"] if packing else []
    if packing and hardware.device == "cpu":
        layouts.insert(0, "line")
    default_attention = model.config._attn_implementation  # Transformers has no public name for it
    was_training = model.training
    model.eval()
    chosen: Layout = "padded"
    with torch.no_grad():
        expected = torch.cat([target_logits(model, _batch(model, [one], "padded")) for one in probe])  # (N, V)
        fused = _has_plain_logits(model, _batch(model, probe, "padded"))
        for layout in layouts:
            model.set_attn_implementation(varlen_attention.NAME if layout == "line" else default_attention)
            if _same_logits(model, _batch(model, probe, layout), expected):
                chosen = layout
                break
        else:
            model.set_attn_implementation(default_attention)
    model.train(was_training)
    return TrainingStep(chosen, fused)


def _probe_rows(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Three beginnings of a row, longest first as every layout sorts them; all tokens but the first are targets."""
    tokens = list(row["input_ids"])[:LONGEST_PROBE]
    return [{"input_ids": tokens[:length], "target_start": 1} for length in (len(tokens), len(tokens) * 2 // 3 + 1, 2)]


def _batch(model: PreTrainedModel, rows: list[dict[str, Any]], layout: Layout) -> dict[str, Any]:
    return to_device(collate(rows, 0, layout), model.device)


def _same_logits(model: PreTrainedModel, batch: dict[str, Any], expected: torch.Tensor) -> bool:
    """Whether a batch has the expected logits (N, V), up to rounding.

    Differences are measured against the logits' spread, as those of random weights hardly differ from each other.
    """
    try:
        logits = target_logits(model, batch)  # (N, V)
    except (NotImplementedError, TypeError, ValueError, RuntimeError, IndexError):  # the model can't take such a batch
        return False
    return bool((logits - expected).abs().max() <= TOLERANCE * expected.std())


def _has_plain_logits(model: PreTrainedModel, batch: dict[str, Any]) -> bool:
    """Whether the model's logits are just the output of a plain output layer."""
    head = plain_output(model)
    if head is None:
        return False
    outputs: list[torch.Tensor] = []  # of the output layer, (1, N, V)
    hook = head.register_forward_hook(lambda layer, inputs, output: outputs.append(output))
    try:
        return torch.equal(target_logits(model, batch), outputs[0][0])
    finally:
        hook.remove()
