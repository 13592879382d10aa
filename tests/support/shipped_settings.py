"""The settings of params.yaml as shipped, and variants of them."""

import copy
from typing import Any

import yaml
from projects import ROOT

SHIPPED: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))


def changed(key: str, value: Any) -> dict[str, Any]:
    """The shipped settings with one of them changed; key: as in 'train.epochs'."""
    values = copy.deepcopy(SHIPPED)
    *sections, name = key.split(".")
    section = values
    for part in sections:
        section = section[part]
    section[name] = value
    return values


def without(key: str) -> dict[str, Any]:
    """The shipped settings without one of them; key: as in 'train.epochs'."""
    values = changed(key, None)
    section, name = key.split(".")
    del values[section][name]
    return values
