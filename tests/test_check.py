"""The check before a run: what is wrong is said before the first stage starts."""

from typing import Any

import pytest
from projects import Project

from stages.core.errors import LockstepError


def test_a_project_that_is_right_passes_in_silence(project: Project) -> None:
    done = project.command("check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_is_wrong_is_one_line_and_exit_code_2(project: Project) -> None:
    project.set("train", epocs=3)
    done = project.command("check")
    assert (done.returncode, done.stdout) == (2, "")
    said = "params.yaml: train.epocs: no such setting, did you mean train.epochs? Put it right there."
    assert done.stderr == f"error: {said}\n"


@pytest.mark.parametrize(
    ("section", "values", "said"),
    [
        ("data", {"path": "data/raw/colour.csv"}, r"data\.path = data/raw/colour\.csv: no such file .*Did you mean"),
        ("data", {"path": "data/raw", "files": "*.tsv"}, r"data/raw: no file matches data\.files = '\*\.tsv'"),
        ("data", {"kind": "text"}, r"colours\.csv: data\.kind text does not read files ending in \.csv"),
        ("model", {"base": "./models/bsae"}, r"model\.base = \./models/bsae is no model folder"),
        ("export", {"push_to_hub": True}, r"push_to_hub is true but export\.hub_repo names no repository"),
        ("export", {"push_to_hub": True, "hub_repo": "a/b"}, r"push_to_hub is true but HF_TOKEN is not set"),
    ],
)
def test_each_mistake_is_found_before_anything_runs(
    project: Project, section: str, values: dict[str, Any], said: str
) -> None:
    project.set(section, **values)
    with pytest.raises(LockstepError, match=said):
        project.run("check")


def test_a_hub_base_is_not_asked_for_by_the_check(project: Project) -> None:
    project.set("model", base="distilgpt2")
    project.run("check")


def test_outside_a_project_it_says_where_to_run(project: Project) -> None:
    (project.folder / "params.yaml").unlink()
    done = project.command("check")
    assert (done.returncode, done.stderr) == (2, "error: params.yaml is missing. Run from the project's root folder.\n")


def test_arguments_it_does_not_take_are_refused(project: Project) -> None:
    done = project.command("check", "--fast")
    assert done.returncode == 2
    assert "unrecognized arguments: --fast" in done.stderr
