"""Presets: small overlays of params.yaml, one for each recipe."""

import io
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from lockstep.core.atomic_files import write_text
from lockstep.core.errors import LockstepError, did_you_mean
from lockstep.core.paths import PRESETS
from lockstep.core.settings import check_params, load_params
from lockstep.core.yaml_files import read_yaml


def preset_names(folder: Path = PRESETS) -> dict[str, str]:
    """Name of each preset -> its first comment line, in the order of the names."""
    names = {}
    for path in sorted(folder.glob("*.yaml")):
        first = path.read_text(encoding="utf-8", errors="replace").partition("\n")[0]
        names[path.stem] = first.lstrip("# ")
    return names


def merge_preset(name: str, params: Path, folder: Path = PRESETS) -> list[str]:
    """Write the preset's values into the params file, keeping its comments and layout; returns the changed keys.

    Raises LockstepError, and writes nothing, if the name is unknown or the params file, the preset or the merged
    settings are not valid.
    """
    path = folder / f"{name}.yaml"
    known = [file.stem for file in sorted(folder.glob("*.yaml"))]
    if name not in known:
        remedy = did_you_mean(name, known) or f"There are: {', '.join(known)}."
        raise LockstepError(f"There is no preset {name}.", remedy)
    load_params(params)
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 200
    values = yaml.load(params.read_text(encoding="utf-8"))
    changed = _merge(values, _overlay(yaml, path), "")
    text = io.StringIO()
    yaml.dump(values, text)
    check_params(YAML(typ="safe").load(text.getvalue()), path)
    if changed:
        write_text(params, text.getvalue())
    return changed


def _overlay(yaml: YAML, path: Path) -> dict[str, Any]:
    """The values of a preset. Raises LockstepError where the file is not valid."""
    if not isinstance(read_yaml(path), dict):
        raise LockstepError(f"{path} holds no settings.", "Write them as in params.yaml.")
    overlay: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"))
    return overlay


def _merge(values: Any, overlay: Any, prefix: str) -> list[str]:
    """Write the overlay's values into `values`; returns the full names of the changed keys."""
    changed = []
    for key, value in overlay.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            changed += _merge(values[key], value, f"{prefix}{key}.")
        elif values.get(key) != value:
            values[key] = value
            changed.append(f"{prefix}{key}")
    return changed
