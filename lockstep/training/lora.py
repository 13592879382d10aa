"""LoRA: small matrices trained beside frozen weights, and added to them when training ends (Hu et al. 2021).

Beside a layer's weight W lie A (rank, in) and B (out, rank); the layer then does W + alpha / rank * B A. B starts at 0,
so training starts from the base. The matrices are PEFT's; Transformers' Trainer saves and resumes them alone.
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
from lockstep.pretrained.tokenizer import SCRATCH

# Of the largest logit: merging adds in another order, and so changes last bits (about 1e-6 of it in fp32).
MERGE_TOLERANCE = 1e-4
COMPARED = 4  # rows whose logits are compared


def add_adapters(model: PreTrainedModel, settings: Lora, base: str) -> Any:
    """Freeze the model and lay trainable matrices beside its linear layers, from torch's generator: seed it first.

    Nothing else is trained. A padding token that was added keeps its embedding, the mean of all: it is never a target,
    and no position that counts looks at it.
    base: what the user calls the model, for the LockstepError raised when settings.targets don't fit it.
    """
    from peft import LoraConfig, get_peft_model

    if base == SCRATCH:
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
        fan_in_fan_out=isinstance(model.get_submodule(names[0]), Conv1D),  # a model of both is told apart by PEFT
        task_type="CAUSAL_LM",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of settings that we chose
        adapted = get_peft_model(model, config)
    # With a name PEFT asks the Hub, at each checkpoint, whether the embeddings have grown, and saves them if so.
    config.base_model_name_or_path = ""
    return adapted


def target_names(model: PreTrainedModel, targets: str | Sequence[str], base: str) -> list[str]:
    """Full names of the layers that get matrices: all linear ones but the output layer for 'auto', else those whose
    name ends in one of `targets`. Raises LockstepError where a target names no layer, or a shared one."""
    output = model.get_output_embeddings()
    linear = {name: module for name, module in model.named_modules() if isinstance(module, torch.nn.Linear | Conv1D)}
    if targets == "auto":
        return [name for name, module in linear.items() if module is not output]
    chosen: set[str] = set()
    for target in targets:
        found = {name for name in linear if f".{name}".endswith(f".{target}")}
        if not found:
            known = sorted({name.rsplit(".", 1)[-1] for name, module in linear.items() if not _shared(model, module)})
            raise LockstepError(
                f"train.lora.targets names {target}, but {base} has no such layer.",
                f"It has {', '.join(known)}.",
            )
        if shared := [name for name in found if _shared(model, linear[name])]:
            raise LockstepError(
                f"train.lora.targets names {target}, but the weights of {shared[0]} are the input embeddings too.",
                "Leave it out.",
            )
        chosen |= found
    return [name for name in linear if name in chosen]


def _shared(model: PreTrainedModel, module: Any) -> bool:
    """Whether a layer's weights are those of the input embeddings."""
    return module.weight is model.get_input_embeddings().weight


def merge_adapters(adapted: Any, rows: Sequence[dict[str, Any]], pad_id: int) -> PreTrainedModel:
    """The model with its matrices added to its weights: an ordinary one again.

    rows: of training; the logits of the first COMPARED are compared.
    Raises LockstepError where logits differ by more than MERGE_TOLERANCE, or embeddings came apart.
    """
    model = adapted.get_base_model()  # with the matrices, but without what Trainer wraps around: autocast
    tied = _shared(model, model.get_output_embeddings())
    rows = [rows[index] for index in range(min(COMPARED, len(rows)))]
    before = _logits(model, rows, pad_id)
    merged: PreTrainedModel = adapted.merge_and_unload(safe_merge=True)
    after = _logits(merged, rows, pad_id)
    change = float((after - before).abs().max() / before.abs().max())
    if not change <= MERGE_TOLERANCE:
        raise LockstepError(
            f"Merging LoRA's matrices changed logits by {change:.1e} of the largest, more than {MERGE_TOLERANCE:.0e}.",
            "Try a lower train.learning_rate, or train.method: full.",
        )
    if tied and not _shared(merged, merged.get_output_embeddings()):
        raise LockstepError("Merging LoRA's matrices took input and output embeddings apart.")
    return merged


def _logits(model: Any, rows: Sequence[dict[str, Any]], pad_id: int) -> torch.Tensor:
    """Logits (B, L, V) of rows in fp32, without dropout."""
    batch = to_device(collate(rows, pad_id, layout="padded"), model.device)
    inputs = {name: value for name, value in batch.items() if name in MODEL_INPUTS}
    with torch.inference_mode():
        logits: torch.Tensor = model.eval()(**inputs, use_cache=False).logits
    return logits
