"""The check before a run: what is wrong is named before the first stage starts."""

import json
import os
from typing import Any

import pytest
from projects import Project

from lockstep.core.errors import LockstepError


def test_a_project_that_is_right_passes_in_silence(project: Project) -> None:
    done = project.command("check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_is_wrong_is_one_line_and_exit_code_2(project: Project) -> None:
    project.set("train", epocs=3)
    done = project.command("check")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: params.yaml: train.epocs: ")
    assert "did you mean train.epochs?" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("section", "values", "named"),
    [
        ("data", {"path": "data/raw/colour.csv"}, r"data\.path = data/raw/colour\.csv.*Did you mean"),
        ("data", {"path": "data/raw", "files": "*.tsv"}, r"data/raw: .*data\.files = '\*\.tsv'"),
        ("data", {"kind": "text"}, r"colours\.csv: data\.kind text .*\.csv"),
        ("model", {"base": "./models/mine"}, r"model\.base = \./models/mine is a path.*NAME=mine FROM"),
        ("model", {"base": "my model"}, r"model\.base = my model: .*`make base` lists"),
        ("model", {"revision": "abc"}, r"model\.revision is abc, but tiny"),
        ("export", {"push_to_hub": True}, r"push_to_hub .*export\.hub_repo"),
        ("export", {"push_to_hub": True, "hub_repo": "a/b"}, r"push_to_hub .*HF_TOKEN"),
    ],
)
def test_each_mistake_is_found_before_anything_runs(
    project: Project, section: str, values: dict[str, Any], named: str
) -> None:
    project.set(section, **values)
    with pytest.raises(LockstepError, match=named):
        project.run("check")


def test_texts_beside_the_corrections_pass_as_prepare_takes_them(project: Project) -> None:
    for path in (project.folder / "data/raw").iterdir():
        path.unlink()
    project.put("data/raw/story.txt", "\n\n".join(f"Day {day}: the lamp of house {day} burnt." for day in range(40)))
    project.put("data/raw/corrections.jsonl", '{"question": "Who?", "answer": "I.", "verdict": "good"}\n')
    project.set("data", path="data/raw", passage_chars=50)
    project.run("prepare", "check")


def test_a_hub_base_is_not_asked_for_by_the_check(project: Project) -> None:
    project.set("model", base="distilgpt2")
    project.run("check")


def test_a_dvc_at_work_is_named(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psutil.Process.cmdline", lambda process: ["python", "-m", "dvc", "repro"])
    project.put(".dvc/tmp/rwlock", json.dumps({"write": {"/p/data": {"pid": os.getpid()}}}))
    with pytest.raises(LockstepError, match=rf"process {os.getpid()}\b"):
        project.run("check")


def test_a_damaged_lock_is_named(project: Project) -> None:
    project.put("dvc.lock", "schema: '2.0'\nstages: [")
    with pytest.raises(LockstepError, match=r"^dvc\.lock .*`git checkout HEAD dvc\.lock`"):
        project.run("check")


def test_outside_a_project_it_says_where_to_run(project: Project) -> None:
    (project.folder / "params.yaml").unlink()
    done = project.command("check")
    assert done.returncode == 2
    assert done.stderr.startswith("error: params.yaml is missing. ")
    assert "root folder" in done.stderr


def test_arguments_it_does_not_take_are_refused(project: Project) -> None:
    done = project.command("check", "--fast")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: Unrecognized arguments: --fast. ")
    assert "`python -m lockstep check --help`" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_gate_by_the_old_name_of_its_figure_is_found_before_anything_runs(project: Project) -> None:
    project.set("gates", **{"tuned.stopped": {"min": 0.9}})
    with pytest.raises(LockstepError, match=r"gates\.tuned\.stopped .*Did you mean tuned\.eos_rate\?"):
        project.run("check")
