"""A wrong setting is named with its key, its value and what is allowed there, and all of them at once."""

import math
from typing import Any

import pytest
from shipped_settings import changed, without

from lockstep.core.errors import LockstepError
from lockstep.core.settings import check_params


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("train.epochs", 0, r"train\.epochs = 0: .*at least 1\b"),
        ("train.epochs", 2.5, r"train\.epochs = 2\.5: .*whole number"),
        ("train.epochs", "many", r"train\.epochs = 'many': .*whole number"),
        ("train.epochs", True, r"train\.epochs = true: .*not true or false"),
        ("train.learning_rate", math.inf, r"train\.learning_rate = inf: .*finite"),
        ("train.learning_rate", -1, r"train\.learning_rate = -1: .*more than 0\b"),
        ("train.lr_schedule", "lienar", r"train\.lr_schedule = 'lienar': .*'linear', 'cosine' or 'constant'"),
        ("train.packing", "perhaps", r"train\.packing = 'perhaps': .*true or false"),
        ("train.epochs", None, r"train\.epochs is empty: .*whole number"),
        ("seed", -1, r"seed = -1: .*at least 0\b"),
        ("split.test", 0.2, r"split: .* 1\.1; make them sum to 1\b"),
        ("split.train", 1.2, r"split\.train = 1\.2: .*at most 1\b"),
        ("prompt.template", "Q: {question}", r"prompt\.template = 'Q: \{question\}': .*\{answer\} once"),
        ("prompt.template", "{answer} {question}", r"prompt\.template .*\{answer\} once"),
        ("model.dropout", 1, r"model\.dropout = 1: .*less than 1\b"),
        ("model.scratch.n_embd", 30, r"model\.scratch: n_embd 30 .*n_head 4\b"),
        ("device.threads", "all", r"device\.threads = 'all': .*'auto' or a whole number"),
        ("data.files", 3, r"data\.files = 3: .*a text or a list"),
        ("data", "data/raw", r"data = 'data/raw': .*below it"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(key: str, value: Any, named: str) -> None:
    with pytest.raises(LockstepError, match=rf"^params\.yaml: {named}") as caught:
        check_params(changed(key, value))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "named"),
    [
        ("train.epocs", r"train\.epocs: .* train\.epochs\?"),
        ("model.scratch.n_embed", r"model\.scratch\.n_embed: .* model\.scratch\.n_embd\?"),
        ("trian", r"trian: .* train\?"),
        ("gates.leakage.maxx", r"gates\.leakage\.maxx: .* gates\.leakage\.max\?"),
        ("train.batch_size", r"train\.batch_size: .* train\.per_device_batch_size\?"),
        ("zzz", r"zzz: [^?]*$"),
    ],
)
def test_an_unknown_key_is_named_with_the_one_that_was_meant(key: str, named: str) -> None:
    with pytest.raises(LockstepError, match=rf"^params\.yaml: {named}"):
        check_params(changed(key, {}))


def test_a_missing_setting_is_named() -> None:
    with pytest.raises(LockstepError, match=r"train\.epochs is missing"):
        check_params(without("train.epochs"))


def test_all_problems_are_reported_at_once() -> None:
    values = changed("train.epochs", 0)
    values["sed"] = 1
    values["split"]["test"] = "none"
    del values["seed"]
    with pytest.raises(LockstepError) as caught:
        check_params(values)
    for part in ("seed is missing", "sed: ", "seed?", "train.epochs = 0", "split.test = 'none'"):
        assert part in caught.value.message


def test_a_long_value_is_cut() -> None:
    with pytest.raises(LockstepError, match=r"seed = \['x', 'x', 'x', \.\.\.\]: "):
        check_params(changed("seed", ["x"] * 100))
