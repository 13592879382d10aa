"""A model's weights in one file, for the epoch that was best so far."""

from pathlib import Path

from transformers import PreTrainedModel

from stages.core.files import sync_file, sync_folder


def save_weights(model: PreTrainedModel, path: Path) -> None:
    """Write the model's weights as one safetensors file, whole or not at all."""
    from safetensors.torch import save_model

    partial = path.with_name(path.name + ".partial")
    save_model(model, str(partial))
    sync_file(partial)
    partial.replace(path)
    sync_folder(path.parent)


def load_weights(model: PreTrainedModel, path: Path) -> None:
    """Read what save_weights wrote."""
    from safetensors.torch import load_model

    load_model(model, str(path))
