"""The check before a run: what is wrong is said before the first stage starts."""

import json
import os
import subprocess
import sys
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


def locks(project: Project, process: int) -> None:
    project.put(".dvc/tmp/rwlock", json.dumps({"write": {"/p/data/prepared": {"pid": process, "cmd": "dvc repro"}}}))


def test_a_second_run_says_that_the_first_is_at_work(project: Project) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    locks(project, process.pid)
    project.run("check")  # what a killed DVC left is in nobody's way
    locks(project, os.getpid())
    project.run("check")  # nor is a process of another kind that has its number now
    command = ["/bin/dvc", "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(command, executable=sys.executable, stdin=subprocess.PIPE) as other:
        locks(project, other.pid)
        with pytest.raises(
            LockstepError, match=rf"already \(process {other.pid}\)\. Wait for it to end, then run again"
        ):
            project.run("check")
        other.kill()


@pytest.mark.parametrize("content", ["", "[]", "{", '{"write": {"a": 3}}'])
def test_locks_that_dvc_could_not_read_are_named_with_what_to_do(project: Project, content: str) -> None:
    project.put(".dvc/tmp/rwlock", content)
    with pytest.raises(LockstepError, match=r"rwlock is damaged.*Run `rm \.dvc/tmp/rwlock` while no DVC"):
        project.run("check")


def test_locks_of_a_dvc_that_has_ended_pass(project: Project) -> None:
    project.put(".dvc/tmp/rwlock", '{"read": {}}')
    project.run("check")


def test_outside_a_project_it_says_where_to_run(project: Project) -> None:
    (project.folder / "params.yaml").unlink()
    done = project.command("check")
    assert (done.returncode, done.stderr) == (2, "error: params.yaml is missing. Run from the project's root folder.\n")


def test_arguments_it_does_not_take_are_refused(project: Project) -> None:
    done = project.command("check", "--fast")
    assert done.returncode == 2
    assert "unrecognized arguments: --fast" in done.stderr
