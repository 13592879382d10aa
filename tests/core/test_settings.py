"""params.yaml: what it may hold, and what a person is told when it holds something else."""

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from lockstep.core.errors import LockstepError
from lockstep.core.settings import check_params, load_params

ROOT = Path(__file__).parents[2]
SHIPPED = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))


def changed(key: str, value: Any) -> dict[str, Any]:
    """The shipped settings with one of them changed; key: as in 'train.epochs'."""
    values = copy.deepcopy(SHIPPED)
    *sections, name = key.split(".")
    place = values
    for section in sections:
        place = place[section]
    place[name] = value
    return values


def without(key: str) -> dict[str, Any]:
    values = changed(key, None)
    section, name = key.split(".")
    del values[section][name]
    return values


def test_the_shipped_file_is_valid_and_says_something_about_every_setting() -> None:
    assert set(load_params(ROOT / "params.yaml").model_dump()) == set(SHIPPED)
    lines = (ROOT / "params.yaml").read_text(encoding="utf-8").splitlines()
    settings = [line for line in lines if line.strip() and not line.lstrip().startswith("#") and not line.endswith(":")]
    settings = [line for line in settings if not line.rstrip().endswith("}")]  # gates speak for themselves
    bare = {line.split(":")[0].strip() for line in settings if "#" not in line.split(":", 1)[1]}
    assert bare <= {"validation", "test", "hub_private", "enabled", "uri", "experiment"}


def test_settings_are_frozen() -> None:
    params = load_params(ROOT / "params.yaml")
    with pytest.raises(ValidationError, match="frozen"):
        params.train.epochs = 3  # type: ignore[misc]


def test_the_word_none_is_no_value() -> None:
    assert check_params(changed("model.dropout", "none")).model.dropout is None
    assert check_params(changed("export.hub_repo", "none")).export.hub_repo is None


def test_a_number_that_yaml_reads_as_text_is_still_a_number() -> None:
    values = changed("train.learning_rate", yaml.safe_load("x: 5e-5")["x"])
    assert isinstance(values["train"]["learning_rate"], str)
    assert check_params(values).train.learning_rate == 5e-5


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("train.epochs", 0, r"train\.epochs = 0: allowed is at least 1"),
        ("train.epochs", 2.5, r"train\.epochs = 2\.5: allowed is a whole number"),
        ("train.epochs", "many", r"train\.epochs = 'many': allowed is a whole number"),
        ("train.epochs", True, r"train\.epochs = true: a number is needed, not true or false"),
        ("train.learning_rate", math.inf, r"train\.learning_rate = inf: allowed is a finite number"),
        ("train.learning_rate", -1, r"train\.learning_rate = -1: allowed is more than 0"),
        ("train.lr_schedule", "lienar", r"train\.lr_schedule = 'lienar': allowed is 'linear', 'cosine' or 'constant'"),
        ("train.packing", "perhaps", r"train\.packing = 'perhaps': allowed is true or false"),
        ("train.epocs", 3, r"train\.epocs: no such setting, did you mean train\.epochs\?"),
        ("trian", {}, r"trian: no such setting, did you mean train\?"),
        ("zzz", 1, r"zzz: no such setting\. "),
        ("seed", -1, r"seed = -1: allowed is at least 0"),
        ("split.test", 0.2, r"split: train, validation and test sum to 1\.1; make them sum to 1"),
        ("split.train", 1.2, r"split\.train = 1\.2: allowed is at most 1"),
        (
            "prompt.template",
            "Q: {question}",
            r"prompt\.template = 'Q: \{question\}': \{question\} is needed once and, after it, \{answer\} once",
        ),
        ("prompt.template", "{answer} {question}", r"\{question\} is needed once"),
        ("prompt.template", "{question} {answer} {question}", r"\{question\} is needed once"),
        ("model.dropout", 1, r"model\.dropout = 1: allowed is less than 1"),
        ("model.scratch.n_embd", 30, r"model\.scratch: n_embd 30 is no multiple of n_head 4"),
        (
            "model.scratch.n_embed",
            30,
            r"model\.scratch\.n_embed: no such setting, did you mean model\.scratch\.n_embd\?",
        ),
        ("device.threads", "all", r"device\.threads = 'all': allowed is 'auto' or a whole number"),
        ("data.files", 3, r"data\.files = 3: allowed is a text or a list"),
        ("data", "data/raw", r"data = 'data/raw': "),
    ],
)
def test_a_wrong_setting_is_named_with_what_was_found_and_what_is_allowed(key: str, value: Any, said: str) -> None:
    with pytest.raises(LockstepError, match=said) as caught:
        check_params(changed(key, value))
    assert "\n" not in str(caught.value)


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
    for part in (
        "seed is missing",
        "sed: no such setting, did you mean seed?",
        "train.epochs = 0",
        "split.test = 'none'",
    ):
        assert part in caught.value.message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"train: [1\nseed: 4", r"params\.yaml line 1 is not valid YAML: a \[ is opened and never closed"),
        (b"seed: \xff\xfe", r"params\.yaml line 1 is not UTF-8 text"),
        (b"", r"params\.yaml holds no settings\. Restore it"),
        (b"- 1\n- 2\n", r"params\.yaml holds no settings"),
        (b"seed: 4\nseed: 4\t\tx: 5", "not valid YAML"),
    ],
)
def test_a_broken_file_gets_one_clear_line(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(LockstepError, match=said):
        load_params(path)


def test_a_missing_file_says_where_to_run() -> None:
    with pytest.raises(LockstepError, match=r"nowhere/params\.yaml is missing\. Run from the project's root folder\."):
        load_params(Path("nowhere/params.yaml"))
