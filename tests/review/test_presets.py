"""Presets: merged into params.yaml with its comments and layout kept, or not at all."""

import difflib
import itertools
import shutil
from pathlib import Path

import pytest
import yaml
from projects import ROOT, Project

from lockstep.cli import preset
from lockstep.core.errors import LockstepError
from lockstep.core.settings import load_params
from lockstep.review.presets import merge_preset, preset_names

RECIPES = ("distilgpt2-data-science", "distilgpt2-texts", "gpt2-hub", "gpt2-medium-chatbot", "gpt2-medium-story")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with the shipped params.yaml and presets, as the current one."""
    settings = tmp_path / "settings"
    shutil.copytree(ROOT / "presets", settings / "presets")
    shutil.copy(ROOT / "params.yaml", settings)
    monkeypatch.chdir(settings)


def text() -> str:
    return Path("params.yaml").read_text(encoding="utf-8")


def key_and_comment(line: str) -> tuple[str, str]:
    return line.split(":")[0].strip(), line.partition(" #")[2].strip()


def changed_lines(before: str) -> list[tuple[str, str]]:
    """Key and comment of each line that is new."""
    lines = difflib.ndiff(before.splitlines(), text().splitlines())
    return [key_and_comment(line[2:]) for line in lines if line.startswith("+ ")]


def put(name: str, content: str) -> None:
    Path(f"presets/{name}.yaml").write_text(content, encoding="utf-8")


@pytest.mark.parametrize("name", [*RECIPES, "make-tiny", "tiny"])
def test_only_the_lines_of_changed_settings_change_and_keep_their_comments(name: str) -> None:
    before = text()
    known = {key_and_comment(line) for line in before.splitlines()}
    changed = merge_preset(name, Path("params.yaml"))
    lines = changed_lines(before)
    assert [key for key, _ in lines] == [key.rsplit(".", 1)[1] for key in changed]
    assert set(lines) <= known
    load_params()


def test_merging_twice_changes_nothing_more() -> None:
    assert merge_preset("distilgpt2-texts", Path("params.yaml"))
    before = text()
    assert merge_preset("distilgpt2-texts", Path("params.yaml")) == []
    assert text() == before


def test_one_recipe_after_another_is_the_same_as_that_one_alone() -> None:
    alone = {}
    for name in RECIPES:
        shutil.copy(ROOT / "params.yaml", "params.yaml")
        merge_preset(name, Path("params.yaml"))
        alone[name] = yaml.safe_load(text())
    for first, second in itertools.permutations(RECIPES, 2):
        shutil.copy(ROOT / "params.yaml", "params.yaml")
        merge_preset(first, Path("params.yaml"))
        merge_preset(second, Path("params.yaml"))
        assert yaml.safe_load(text()) == alone[second], f"{second} after {first}"


def test_presets_are_listed_with_what_they_are() -> None:
    names = preset_names()
    assert list(names) == sorted([*RECIPES, "make-tiny", "tiny"])
    assert names["distilgpt2-texts"].startswith("distilgpt2 on a folder of plain texts")


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("gpt2-hbu", r"preset gpt2-hbu\. .*gpt2-hub\?"),
        ("xyz", r"preset xyz\. There are: distilgpt2-data-science, "),
        ("../params", r"preset \.\./params\."),
    ],
)
def test_an_unknown_name_is_an_error_with_the_known_ones(name: str, named: str) -> None:
    with pytest.raises(LockstepError, match=named):
        merge_preset(name, Path("params.yaml"))


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("# odd\ntrain: {epocs: 3}\n", r": train\.epocs: .*train\.epochs\?"),
        ("# odd\ntrain: {epochs: 0}\n", r": train\.epochs = 0: "),
        ("# odd\ntrain: 3\n", r": train = 3: "),
        ("# odd\n", r" .*params\.yaml"),
        ("", r" .*params\.yaml"),
        ("# odd\n- 1\n", r" .*params\.yaml"),
        ("# odd\ntrain: [\n", r" line \d "),
    ],
)
def test_a_preset_that_does_not_fit_writes_nothing(content: str, named: str) -> None:
    put("odd", content)
    before = text()
    with pytest.raises(LockstepError, match=rf"^presets/odd\.yaml{named}"):
        merge_preset("odd", Path("params.yaml"))
    assert text() == before


def test_a_params_file_that_is_broken_or_missing_is_one_clear_line() -> None:
    Path("params.yaml").write_text("seed: [", encoding="utf-8")
    with pytest.raises(LockstepError, match=r"^params\.yaml line 1 "):
        merge_preset("make-tiny", Path("params.yaml"))
    Path("params.yaml").unlink()
    with pytest.raises(LockstepError, match=r"^params\.yaml is missing"):
        merge_preset("make-tiny", Path("params.yaml"))


def test_the_command_lists_presets_or_merges_one(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project.run("preset")
    assert "make preset NAME=gpt2-hub" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["preset", "gpt2-medium-story"])
    preset.main()
    assert capsys.readouterr().out.startswith("preset    gpt2-medium-story: ")
    assert load_params().train.epochs == 10


def test_the_command_ends_with_2_for_an_unknown_name(project: Project) -> None:
    done = project.command("preset", "gpt2-hbu")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert "gpt2-hub?" in done.stderr
