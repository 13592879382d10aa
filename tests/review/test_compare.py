"""Two commits of a real git repository side by side, in the comment of a pull request and at the gates."""

import json
import shutil
from pathlib import Path

import pytest
from projects import Project
from repositories import commit, git

from lockstep.review.compare import Change, changes, read_snapshot, without_derived


def worsen_metrics(project: Project) -> None:
    metrics = project.json("metrics/evaluate.json")
    metrics["tuned"]["perplexity"] *= 2
    metrics["leakage"] = 3
    project.put("metrics/evaluate.json", json.dumps(metrics))


def test_the_change_is_that_between_the_two_commits(branch: Project) -> None:
    before, after = read_snapshot("main"), read_snapshot(None)
    (change,) = without_derived(changes(before.metrics, after.metrics))
    old = json.loads(git("show", "main:metrics/evaluate.json"))["tuned"]["perplexity"]
    assert (change.name, change.before) == ("evaluate.tuned.perplexity", old)
    assert change.share == pytest.approx(-0.1)


def test_a_broken_gate_ends_with_1_and_says_which(branch: Project) -> None:
    assert branch.command("gate").returncode == 0
    worsen_metrics(branch)
    done = branch.command("gate")
    assert done.returncode == 1
    assert "FAIL  evaluate.leakage 3" in done.stdout
    assert "2 of 2 failed" in done.stdout
    assert "❌ Gates failed" in branch.command("compare").stdout


def test_a_figure_may_be_compared_with_any_revision(branch: Project) -> None:
    done = branch.command("compare", "--against", "change", "--out", "comment.md")
    assert (done.returncode, done.stdout) == (0, "")
    text = Path("comment.md").read_text()
    assert "No figure changed." in text
    assert "No setting changed." in text


def test_main_without_figures_makes_all_of_them_new(branch: Project) -> None:
    git("checkout", "--quiet", "--orphan", "bare")
    git("rm", "--quiet", "-r", "--cached", "metrics")
    shutil.move("metrics", "aside")
    commit("no figures")
    shutil.move("aside", "metrics")
    done = branch.command("compare", "--against", "bare")
    assert done.returncode == 0
    assert "holds no figures of an evaluation" in done.stdout
    assert "new, nothing to compare" in done.stdout


def test_nothing_evaluated_yet_is_one_clear_line(branch: Project) -> None:
    Path("metrics/evaluate.json").unlink()
    done = branch.command("gate")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "metrics/evaluate.json" in done.stderr
    assert "`make repro`" in done.stderr


def test_changes_list_new_names_and_then_those_that_are_gone() -> None:
    assert changes({"gone": 1, "same": 2}, {"same": 2, "new": 3}) == [Change("new", None, 3), Change("gone", 1, None)]
