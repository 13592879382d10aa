"""A GGUF file -> a model folder in bf16, the same bytes each time. The quantized weights become ordinary ones."""

import io
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

from lockstep.bases.gguf_file import check_splitting, put_right, read_facts, unreadable
from lockstep.core.atomic_files import require_space
from lockstep.core.errors import LockstepError, write_failure
from lockstep.pretrained.tokenizer import context_length, save_tokenizer

BYTES_PER_WEIGHT = 2  # bf16


def convert(path: Path, folder: Path) -> None:
    """Write model, config and tokenizer of a GGUF file into an empty folder.

    Raises LockstepError when the file is cut off or is none, its kind of model or tokenizer is not known, or the disk
    is full.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    facts = read_facts(path)
    check_splitting(path, facts)
    require_space(folder, facts.weights * BYTES_PER_WEIGHT)
    source: dict[str, Any] = {"pretrained_model_name_or_path": path.parent, "gguf_file": path.name}
    try:
        with redirect_stderr(io.StringIO()):  # progress bars that can't be switched off
            tokenizer = AutoTokenizer.from_pretrained(**source)
            model = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.bfloat16)
    except Exception as error:  # unknown kinds and damaged files fail in many ways
        if write_failure(error):
            raise
        lines = str(error).strip().splitlines()
        raise unreadable(path, f"Transformers can't use it ({lines[0].rstrip('.') if lines else error!r})") from error
    if not all(weight.isfinite().all() for weight in model.parameters()):
        raise unreadable(path, "it holds weights that are no numbers")
    put_right(tokenizer, facts, context_length(model.config))
    if tokenizer.eos_token_id is None:
        raise LockstepError(f"{path} names no end-of-text token, so answers could never stop.", "Take another file.")
    save(model, tokenizer, folder)


def save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Save a model that was read from a GGUF file, and its tokenizer, without a trace of quantization or of paths."""
    import torch
    from transformers import GenerationConfig

    forget_quantization(model)
    config = model.config
    round_to_float32(config)
    ids = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    for key, value in ids.items():
        setattr(config, key, value)
    model.generation_config = GenerationConfig(**ids)
    model.to(torch.bfloat16).save_pretrained(folder)
    for file in folder.glob("*.safetensors"):
        file.chmod(0o644)  # safetensors writes files that only their owner can read
    save_tokenizer(tokenizer, folder)


def forget_quantization(model: Any) -> None:
    """Take from a model what says that it was quantized, for which save_pretrained would refuse it."""
    config = model.config
    for name in ("quantization_config", "_model_name_or_path"):
        if hasattr(config, name):
            delattr(config, name)
    config._name_or_path = ""
    model.hf_quantizer = None
    for name in ("is_quantized", "quantization_method"):
        if hasattr(model, name):
            setattr(model, name, None)


def round_to_float32(config: Any) -> None:
    """Write a config's numbers, which a GGUF file has as float32, as short as float32 is: 1e-05, not 9.99999974e-06."""
    import numpy as np

    for key, value in vars(config).items():
        if isinstance(value, float):
            setattr(config, key, float(str(np.float32(value))))
