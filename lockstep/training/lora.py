"""LoRA: low-rank matrices trained beside frozen weights and merged into them after training (Hu et al. 2021).

A layer's weight W gets A (rank, in) and B (out, rank) and acts as W + alpha / rank * B A. B starts at 0, so training
starts from the base. The adapters are PEFT's; checkpoints hold only them.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from lockstep.core.errors import LockstepError
from lockstep.core.settings import Lora
from lockstep.modeling.collate import collate
from lockstep.modeling.scoring import MODEL_INPUTS, to_device
from lockstep.pretrained.base import is_pretrained

# Relative to the largest logit: merging adds in another order, which changes the last bits (about 1e-6 in fp32).
MERGE_TOLERANCE = 1e-4
NUM_COMPARED = 4  # rows whose logits are compared before and after merging


def add_adapters(model: PreTrainedModel, settings: Lora, base: str) -> Any:
    """Freeze the model and add trainable adapters to its linear layers; their start values come from torch's generator.

    Nothing else is trained. A padding token that was added keeps its embedding, the mean of all: it is never a target,
    and no real token attends to it.
    base: the user's name for the model. Raises LockstepError when it is 'scratch' or settings.targets don't fit it.
    """
    from peft import LoraConfig, get_peft_model

    if not is_pretrained(base):
        raise LockstepError(
            "train.method is lora, but model.base is scratch, whose random weights would stay as they are.",
            "Set train.method to full, or name a trained base.",
        )
    names = target_names(model, settings.targets, base)
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]
        lora_dropout=settings.dropout,
        target_modules=names,
        fan_in_fan_out=isinstance(model.get_submodule(names[0]), Conv1D),  # PEFT corrects it for models with both kinds
        task_type="CAUSAL_LM",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about settings chosen here on purpose
        adapted = get_peft_model(model, config)
    # With a name, PEFT asks the Hub at each checkpoint whether the embeddings have grown, and saves them if so.
    config.base_model_name_or_path = ""
    return adapted


def target_names(model: PreTrainedModel, targets: str | Sequence[str], base: str) -> list[str]:
    """Full names of the layers that get adapters: for 'auto' all linear layers but the output layer, else those whose
    name ends in one of `targets`. Raises LockstepError when a target names no layer, or one with tied weights."""
    output = model.get_output_embeddings()
    linear = {name: module for name, module in model.named_modules() if isinstance(module, torch.nn.Linear | Conv1D)}
    if targets == "auto":
        return [name for name, module in linear.items() if module is not output]
    chosen: set[str] = set()
    for target in targets:
        matches = {name for name in linear if f".{name}".endswith(f".{target}")}
        if not matches:
            known = sorted({name.rsplit(".", 1)[-1] for name, module in linear.items() if not _is_tied(model, module)})
            raise LockstepError(
                f"train.lora.targets names {target}, but {base} has no such layer.",
                f"It has {', '.join(known)}.",
            )
        if tied := [name for name in matches if _is_tied(model, linear[name])]:
            raise LockstepError(
                f"train.lora.targets names {target}, but the weights of {tied[0]} are the input embeddings too.",
                "Leave it out.",
            )
        chosen |= matches
    return [name for name in linear if name in chosen]


def _is_tied(model: PreTrainedModel, module: Any) -> bool:
    """Whether a layer shares its weight with the input embeddings."""
    return module.weight is model.get_input_embeddings().weight


def merge_adapters(adapted: Any, rows: Sequence[dict[str, Any]], pad_id: int) -> PreTrainedModel:
    """Merge the adapters into the weights and return an ordinary model.

    rows: training rows; the logits of the first NUM_COMPARED are compared before and after.
    Raises LockstepError when logits differ by more than MERGE_TOLERANCE, or tied embeddings are tied no more.
    """
    model = adapted.get_base_model()  # with the adapters, but without Trainer's autocast around it
    tied = _is_tied(model, model.get_output_embeddings())
    rows = [rows[index] for index in range(min(NUM_COMPARED, len(rows)))]
    before = _logits(model, rows, pad_id)  # (B, L, V)
    merged: PreTrainedModel = adapted.merge_and_unload(safe_merge=True)
    after = _logits(merged, rows, pad_id)  # (B, L, V)
    change = float((after - before).abs().max() / before.abs().max())
    if not change <= MERGE_TOLERANCE:
        raise LockstepError(
            f"Merging LoRA's matrices changed logits by {change:.1e} of the largest, more than {MERGE_TOLERANCE:.0e}.",
            "Try a lower train.learning_rate, or train.method: full.",
        )
    if tied and not _is_tied(merged, merged.get_output_embeddings()):
        raise LockstepError("Merging LoRA's matrices took input and output embeddings apart.")
    return merged


def _logits(model: Any, rows: Sequence[dict[str, Any]], pad_id: int) -> torch.Tensor:
    """Logits (B, L, V) of rows, padded, without dropout."""
    batch = to_device(collate(rows, pad_id, layout="padded"), model.device)
    inputs = {name: value for name, value in batch.items() if name in MODEL_INPUTS}
    with torch.inference_mode():
        logits: torch.Tensor = model.eval()(**inputs, use_cache=False).logits  # (B, L, V)
    return logits
