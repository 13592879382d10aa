"""The model: loaded from a base or initialized at random, fitted to its tokenizer, and saved without local paths."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, GenerationConfig, GPT2Config, PreTrainedModel, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from lockstep.core.console import warn
from lockstep.core.errors import LockstepError
from lockstep.core.settings import Generation, Model
from lockstep.pretrained.base import base_folder, is_pretrained
from lockstep.pretrained.model_folder import check_config, check_weights, restore_remedy
from lockstep.pretrained.tokenizer import check_vocabulary, save_tokenizer

AUTO_DROPOUT = 0.1  # where the base has places for dropout; Llama has none

transformers_logging.disable_progress_bar()


def build_model(settings: Model, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    """The base in fp32, ready for training: with an embedding for every token, and the dropout of the settings.

    Random weights are drawn from torch's generator, so seed it first. Raises LockstepError when the base can't be
    loaded or does not fit the tokenizer.
    """
    if not is_pretrained(settings.base):
        model = _from_scratch(settings, tokenizer)
    else:
        folder = base_folder(settings.base)
        model = load_model(folder, str(folder))
        grow_embeddings(model, len(tokenizer))
    check_vocabulary(tokenizer, model.config)
    if settings.dropout is not None:
        set_dropout(model, AUTO_DROPOUT if settings.dropout == "auto" else settings.dropout)
    model.config.pad_token_id = tokenizer.pad_token_id
    model.config.eos_token_id = tokenizer.eos_token_id
    return model


def load_model(folder: Path | str, name: str) -> PreTrainedModel:
    """Load a causal language model in fp32 from safetensors, in evaluation mode.

    name: what the user calls the folder. Raises LockstepError when the model can't be loaded, or when a weight is
    missing, has another shape than config.json says or holds NaN or infinity.
    """
    check_config(Path(folder), name)
    check_weights(Path(folder), name)
    try:
        model, loaded = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=torch.float32,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # reported by _require_all_weights
        )
    except Exception as error:  # broken weights fail in many ways, all the same to the user
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise LockstepError(f"The model {name} can't be loaded: {reason}.", restore_remedy(name)) from error
    _require_all_weights(loaded, name)
    if broken := [key for key, weight in model.named_parameters() if not torch.isfinite(weight).all()]:
        raise LockstepError(
            f"The model {name} can't be loaded: {broken[0]} holds values that are no numbers.", restore_remedy(name)
        )
    return model.eval()


def _require_all_weights(loaded: dict[str, Any], name: str) -> None:
    """Raise LockstepError if the files lack weights that config.json asks for: Transformers would draw random ones.

    loaded: the loading info of from_pretrained. name: what the user calls the folder.
    """
    remedy = f"config.json and weights are of different models. {restore_remedy(name)}"
    if missing := sorted(loaded["missing_keys"]):
        lacking = f"{missing[0]} is" if len(missing) == 1 else f"{missing[0]} and {len(missing) - 1} more weights are"
        raise LockstepError(f"The model {name} can't be loaded: {lacking} missing.", remedy)
    for key, stored, expected in sorted(loaded["mismatched_keys"]):
        sizes = f"{' x '.join(map(str, stored))}, config.json asks for {' x '.join(map(str, expected))}"
        raise LockstepError(f"The model {name} can't be loaded: {key} is {sizes}.", remedy)
    if unused := sorted(loaded["unexpected_keys"]):
        warn(f"{name}: {len(unused)} weights in its files are not used, {unused[0]} first")


def _from_scratch(settings: Model, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    shape = settings.scratch
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=shape.context,
        n_embd=shape.n_embd,
        n_layer=shape.n_layer,
        n_head=shape.n_head,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return AutoModelForCausalLM.from_config(config)


def grow_embeddings(model: PreTrainedModel, tokens: int) -> None:
    """Give the model an embedding for each of `tokens` tokens. A new embedding is the mean of the old ones.

    A random one can get the highest logit in every context; the mean never does
    (Hewitt 2021, 'Initializing New Word Embeddings for Pretrained Language Models').
    """
    old = model.get_input_embeddings().weight.shape[0]
    if tokens <= old:
        return
    model.resize_token_embeddings(tokens, mean_resizing=False)
    inputs, outputs = model.get_input_embeddings().weight, model.get_output_embeddings().weight  # (V, H) each
    with torch.no_grad():
        for weight in [inputs] if inputs is outputs else [inputs, outputs]:
            weight[old:] = weight[:old].mean(dim=0)  # (H,)


def set_dropout(model: PreTrainedModel, probability: float) -> None:
    """Set dropout of embeddings and residual branches; attention dropout becomes 0, as it rules out fused kernels."""
    config = model.config.get_text_config()
    for name in ("embd_pdrop", "resid_pdrop", "hidden_dropout", "dropout"):
        if hasattr(config, name):
            setattr(config, name, probability)
    for name in ("attn_pdrop", "attention_dropout"):
        if hasattr(config, name):
            setattr(config, name, 0.0)
    attention_names = ("attn_dropout", "attention_dropout")
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0 if name.endswith(attention_names) else probability
        elif isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.0


def count_parameters(model: PreTrainedModel) -> int:
    """The number of weights, with tied ones counted once."""
    return sum(parameter.numel() for parameter in model.parameters())


def export_dtype(dtype: str) -> torch.dtype:
    """The torch dtype of export.dtype: 'fp32', 'bf16' or 'fp16'."""
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[dtype]


def generation_config(settings: Generation, tokenizer: PreTrainedTokenizerFast) -> GenerationConfig:
    """The generation settings as Transformers' GenerationConfig. Temperature 0 is greedy decoding there."""
    sampling = {"temperature": settings.temperature, "top_p": settings.top_p, "top_k": settings.top_k}
    return GenerationConfig(
        max_new_tokens=settings.max_new_tokens,
        repetition_penalty=settings.repetition_penalty,
        do_sample=settings.temperature > 0,
        **(sampling if settings.temperature > 0 else {}),
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def save_model(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path, generation: GenerationConfig | None = None
) -> None:
    """Save weights as safetensors, config, generation config and tokenizer, without a path or the state of training.

    generation: one with the special tokens alone if None.
    """
    model.config.use_cache = True  # Trainer switches it off
    model.config._name_or_path = ""
    model.generation_config = generation or GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, bos_token_id=tokenizer.bos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    model.save_pretrained(folder)
    for file in folder.glob("*.safetensors"):
        file.chmod(0o644)  # safetensors writes files that only their owner can read
    save_tokenizer(tokenizer, folder)
