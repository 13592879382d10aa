"""Two commits of a real git repository side by side, in the comment of a pull request and at the gates."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from projects import Project

from lockstep.core.errors import LockstepError
from lockstep.review.compare import Change, changes, fixed_questions, read_snapshot, without_derived
from lockstep.review.pr_comment import MARK, cell, plain
from lockstep.review.revisions import merge_base, read_at, resolve

WHO = {"GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@b.c", "GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@b.c"}


def git(*arguments: str) -> str:
    settings = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    command = ["git", "-c", "init.defaultBranch=main", "-c", "protocol.file.allow=always", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **WHO, **settings})
    return done.stdout.strip()


def commit(message: str) -> str:
    git("add", "-A")
    git("commit", "-qm", message)
    return git("rev-parse", "HEAD")


@pytest.fixture
def branch(after: Project) -> Project:
    """main holds one evaluated commit; the branch `change` holds a better model and another setting."""
    for folder in ("data", "models"):
        shutil.rmtree(folder)
    git("init", "-q")
    commit("first")
    git("checkout", "-qb", "change")
    rewrite_metrics(perplexity=0.9)
    lines = [json.loads(line) for line in Path("metrics/answers.jsonl").read_text().splitlines()]
    lines[0]["tuned"] = "A <b>bold</b> | @answer [x](http://y)"
    Path("metrics/answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    after.set("train", epochs=7)
    commit("second")
    return after


def rewrite_metrics(perplexity: float = 1.0, leakage: int = 0) -> None:
    path = Path("metrics/evaluate.json")
    metrics = json.loads(path.read_text())
    metrics["tuned"]["perplexity"] *= perplexity
    metrics["leakage"] = leakage
    path.write_text(json.dumps(metrics))


def test_the_comment_tells_figures_settings_answers_leakage_and_gates(branch: Project) -> None:
    done = branch.command("compare")
    assert (done.returncode, done.stderr) == (0, "")
    text = done.stdout
    assert text.startswith(MARK + "\n## ✅ Gates passed · compared with main at ")
    assert "| `evaluate.tuned.perplexity` |" in text
    assert "(−10%)" in text
    assert "| `train.epochs` | 2 | 7 |" in text
    assert "**Leakage:** none" in text
    assert "### The same" in text
    assert len(text) < 65_536


def test_the_two_answers_stand_side_by_side_and_harmless(branch: Project) -> None:
    text = branch.command("compare").stdout
    first = fixed_questions(read_snapshot(merge_base()), read_snapshot(None))[0]
    assert f"| before | {cell(first.before)} |" in text
    assert "&lt;b&gt;bold&lt;/b&gt; \\| @\u200banswer \\[x\\](http:/\u200b/y)" in text
    assert "*(the same)*" in text


def test_the_change_is_that_between_the_two_commits(branch: Project) -> None:
    before, after = read_snapshot("main"), read_snapshot(None)
    (change,) = without_derived(changes(before.metrics, after.metrics))
    old = json.loads(git("show", "main:metrics/evaluate.json"))["tuned"]["perplexity"]
    assert (change.name, change.before) == ("evaluate.tuned.perplexity", old)
    assert change.share == pytest.approx(-0.1)


def test_a_broken_gate_ends_with_1_and_says_which(branch: Project) -> None:
    assert branch.command("gate").returncode == 0
    rewrite_metrics(perplexity=2, leakage=3)
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


def test_a_shallow_clone_is_an_error_and_no_empty_comparison(branch: Project, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git("clone", "-q", "--depth", "1", "--no-single-branch", f"file://{Path.cwd()}", str(clone))
    branch.monkeypatch.chdir(clone)
    with pytest.raises(LockstepError, match=r"shallow clone: it does not hold the commit.*fetch-depth: 0"):
        merge_base()
    done = branch.command("compare")
    assert done.returncode == 2
    assert "shallow clone" in done.stderr
    assert done.stdout == ""


def test_a_shallow_clone_of_one_branch_is_an_error_too(branch: Project, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git("clone", "-q", "--depth", "1", f"file://{Path.cwd()}", str(clone))
    branch.monkeypatch.chdir(clone)
    with pytest.raises(LockstepError, match="shallow clone without"):
        merge_base("origin/main")
    with pytest.raises(LockstepError, match="no revision 0123456.*fetch-depth"):
        resolve("0123456")


def test_main_without_figures_makes_all_of_them_new(branch: Project) -> None:
    git("checkout", "-q", "--orphan", "bare")
    git("rm", "-q", "-r", "--cached", "metrics")
    shutil.move("metrics", "aside")
    first = commit("no figures")
    shutil.move("aside", "metrics")
    done = branch.command("compare", "--against", first)
    assert done.returncode == 0
    assert "holds no figures of an evaluation" in done.stdout
    assert "new, nothing to compare" in done.stdout


def test_nothing_evaluated_yet_is_one_clear_line(branch: Project) -> None:
    Path("metrics/evaluate.json").unlink()
    done = branch.command("gate")
    assert (done.returncode, done.stderr) == (2, "error: metrics/evaluate.json is missing. Run `make repro` first.\n")


def test_outside_git_is_one_clear_line(after: Project) -> None:
    with pytest.raises(LockstepError, match="no git repository"):
        merge_base()


def test_a_project_in_a_folder_of_a_repository_finds_its_files(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "deep")
    Path("params.yaml").write_text("seed: 1\n")
    git("init", "-q", "..")
    commit("first")
    assert read_at("HEAD", Path("params.yaml")) == "seed: 1\n"
    assert read_at("HEAD", Path("other.yaml")) is None


def test_changes_list_new_names_and_then_those_that_are_gone() -> None:
    assert changes({"gone": 1, "same": 2}, {"same": 2, "new": 3}) == [Change("new", None, 3), Change("gone", 1, None)]


def test_texts_of_users_make_no_markup_mention_or_link() -> None:
    assert cell("a|b `c` *d* <i>") == "a\\|b \\`c\\` \\*d\\* &lt;i&gt;"
    assert plain("@all see #1 https://x") == "@\u200ball see #\u200b1 https:/\u200b/x"
    assert cell(" ") == "*(nothing)*"
    assert cell("word " * 200).endswith(" …")
