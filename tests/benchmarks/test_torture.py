"""The fault campaign: its referee sees what is wrong, its faults are what they say, and a short one loses nothing."""

import random
import re
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from structure import ROOT

from benchmarks.torture import referee, table
from benchmarks.torture.__main__ import main
from benchmarks.torture.damage import damage, make_read_only
from benchmarks.torture.faults import KINDS, Trial, plan
from benchmarks.torture.project import Campaign, commit, look_at, run
from benchmarks.torture.referee import Outcome, Verdict, differences, follow_remedy, is_clear
from benchmarks.torture.victim import Ending

DVC = "ERROR: failed to reproduce 'train': failed to run: python -m stages.train, exited with 2\n"
OBJECT = "files/md5/5d/41402abc4b2a76b9719d911017c592"  # of the bytes "hello"


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trial:
    """A project with a few files, which are also what a run without a fault would leave."""
    monkeypatch.setattr(referee, "TO_END", 0.2)
    project = tmp_path / "project"
    for name, text in {
        "data/rows": "1",
        "metrics/a.json": "{}",
        "metrics/b.json": "{}",
        ".gitignore": "/.dvc\n/.checkpoints\n",
        ".dvc/cache/x": "1",
    }.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    (project / ".checkpoints").mkdir()
    (project / ".dvc/cache" / OBJECT).parent.mkdir(parents=True)
    (project / ".dvc/cache" / OBJECT).write_text("hello")
    run(project, "git", "init", "--quiet")
    commit(project, "All")
    return Trial(Campaign({}, {}, {}, look_at(project), tmp_path), "train", project, random.Random(1))


def test_the_referee_finds_no_difference_in_the_same_state(trial: Trial) -> None:
    assert differences(trial) == []


@pytest.mark.parametrize(
    ("name", "text", "problems"),
    [
        ("metrics/a.json", "{ }", ["metrics/a.json differs", "git status differs"]),
        ("metrics/a.json", None, ["metrics/a.json is missing", "git status differs"]),
        ("data/rows.partial", "1", ["data/rows.partial was left behind", "git status differs"]),
        (
            ".checkpoints/3a/manifest.json",
            "1",
            [".checkpoints/ is missing", ".checkpoints/3a/manifest.json was left behind"],
        ),
        (f".dvc/cache/{OBJECT}", "hallo", [f"DVC's object {OBJECT} is damaged"]),
        (f".dvc/cache/{OBJECT}", None, [f"DVC's object {OBJECT} is missing"]),
        (".dvc/tmp/lock", "1", []),
    ],
)
def test_the_referee_sees_what_is_not_as_it_was(trial: Trial, name: str, text: str | None, problems: list[str]) -> None:
    path = trial.project / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink() if text is None else path.write_text(text)
    assert differences(trial) == problems


def test_the_referee_sees_a_process_that_was_left_behind(trial: Trial) -> None:
    with subprocess.Popen(["sleep", "60"], cwd=trial.project) as process:
        assert differences(trial) == [f"process {process.pid} still runs"]
        process.kill()


@pytest.mark.parametrize(
    ("code", "text", "clear"),
    [
        (255, f"error: data/x is damaged. Run `make tokenize`.\n{DVC}", True),
        (2, "error: data/x is damaged.\n", True),
        (255, "ERROR: unexpected error - [Errno 28] No space left on device: 'data/x'\n", True),
        (255, f"error: data/y is damaged.\n{DVC}", False),  # names another thing
        (255, f"error: data/x.\nerror: data/x again.\n{DVC}", False),
        (255, f"Traceback (most recent call last):\nerror: data/x\n{DVC}", False),
        (1, "error: data/x\n", False),
        (255, DVC, False),
        (1, "", False),
    ],
)
def test_a_clear_error_is_one_line_that_names_the_thing(code: int, text: str, clear: bool) -> None:
    assert is_clear(Ending(code, text), re.compile("data/x|No space")) is clear


def test_a_remedy_is_followed_as_written_and_no_other_command_is(trial: Trial) -> None:
    (trial.project / "data/rows").write_text("2")
    follow_remedy(trial.project, "warning: `rm data/rows`\nerror: Run `git checkout HEAD data/rows` or `touch new`.\n")
    assert (trial.project / "data/rows").read_text() == "1"
    assert not (trial.project / "new").exists()


def test_damage_changes_what_it_names_and_keeps_the_time_on_request(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(100)))
    time = path.stat().st_mtime_ns
    damage(path, "flip", random.Random(1), keep_time=True)
    changed = [(a ^ b).bit_count() for a, b in zip(path.read_bytes(), range(100), strict=True)]
    assert (sum(changed), path.stat().st_mtime_ns) == (1, time)
    damage(path, "truncate", random.Random(1))
    assert path.stat().st_size < 100
    assert path.stat().st_mtime_ns != time


def test_a_read_only_folder_holds_for_root_and_is_undone(tmp_path: Path) -> None:
    code = "from benchmarks.torture.damage import drop_override as d; import os, sys; d(); os.execvp('touch', sys.argv)"
    touch = [sys.executable, "-c", code, str(tmp_path / "new")]
    with ExitStack() as undo:
        make_read_only(tmp_path, undo)
        assert subprocess.run(touch, cwd=ROOT, capture_output=True, check=False).returncode == 1
    assert subprocess.run(touch, cwd=ROOT, capture_output=True, check=False).returncode == 0


def test_every_kind_comes_before_one_comes_again_and_each_meets_all_its_stages() -> None:
    faults = plan(len(KINDS) * 5, seed=1)
    assert {fault.kind for fault in faults[: len(KINDS)]} == set(KINDS)
    for kind, it in KINDS.items():
        assert {fault.stage for fault in faults if fault.kind == kind} == set(it.stages)
    assert plan(7, seed=1) == faults[:7]
    assert plan(7, seed=2) != faults[:7]


def test_the_table_counts_kinds_stages_and_ends_and_goes_into_the_page(tmp_path: Path) -> None:
    outcomes = [("train", Outcome.RECOVERED), ("train", Outcome.CLEAR_ERROR), ("export", Outcome.LOST)]
    text = table.table([Verdict(1, "full disk", stage, outcome, 1.0, [], []) for stage, outcome in outcomes])
    assert text.splitlines()[2:] == [
        "| full disk |  |  | 2 |  | 1 | 3 | 1 | 1 | 1 |",
        "| all |  |  | 2 |  | 1 | 3 | 1 | 1 | 1 |",
    ]
    page = tmp_path / "page.md"
    page.write_text(f"a\n{table.BEGIN}\nold\n{table.END}\nb\n")
    table.write_docs(text, page)
    assert page.read_text() == f"a\n{table.BEGIN}\n{text}\n{table.END}\nb\n"


def test_the_page_has_a_place_for_the_table() -> None:
    text = table.PAGE.read_text(encoding="utf-8")
    assert text.index(table.BEGIN) < text.index(table.END)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_short_campaign_loses_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--faults", "8", "--seed", "4", "--minutes", "25"]) == 0, capsys.readouterr().out
    assert re.search(r"\| all .*\| 8 \| \d \| \d \| 0 \|$", capsys.readouterr().out, re.M)
