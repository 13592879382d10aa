"""params.yaml: frozen, typed values, every one of them explained in the file."""

from pathlib import Path

import pytest
import yaml
from projects import ROOT
from pydantic import ValidationError
from shipped_settings import SHIPPED, changed

from lockstep.core.errors import LockstepError
from lockstep.core.settings import Gate, check_params, load_params


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


@pytest.mark.parametrize(("bound", "value"), [(" 2% ", "2%"), ("0.5%", "0.5%"), (3, 3.0)])
def test_a_bound_on_a_change_is_a_share_or_a_number(bound: object, value: object) -> None:
    assert Gate.model_validate({"max_increase": bound}).max_increase == value


@pytest.mark.parametrize("content", ["", "- 1\n- 2\n", "seed"])
def test_a_file_without_settings_is_refused_with_what_restores_it(tmp_path: Path, content: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(content)
    with pytest.raises(LockstepError, match=r"params\.yaml .*`git checkout params\.yaml`"):
        load_params(path)
