"""What became of a fault: recovered with the same bytes, a clear error whose remedy led there, or lost."""

import hashlib
import re
import shlex
import shutil
import subprocess
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from benchmarks.torture.damage import unmount
from benchmarks.torture.faults import KINDS, Planned, Trial
from benchmarks.torture.project import CACHE, Campaign, environment, files_in, look_at
from benchmarks.torture.victim import Ending, TooLateError, pipeline, strays, wait_for_strays

REMEDIES = 3  # clear errors in a row that one fault may cause, each with its own remedy
DRAWS = 8  # moments drawn for one fault until one comes before the run's end
TO_END = 20.0  # seconds that what a killed run left behind has to end by itself
TO_WAIT = 60.0  # seconds that a remedy which says to wait is given
USER_ERROR = 2
MAKE = ("make", "--old-file", "setup")  # the campaign's environment is there already
ALLOWED = ("dvc", "make", "git", "rm")  # first words of the commands that a remedy may name


class Outcome(StrEnum):
    """The three ends of a fault."""

    RECOVERED = "recovered"
    CLEAR_ERROR = "clear error"
    LOST = "lost"


@dataclass(frozen=True)
class Verdict:
    """One fault and what became of it. said: what the runs wrote, in order. problems: what was not as it should be."""

    number: int
    kind: str
    stage: str
    outcome: Outcome
    seconds: float
    problems: list[str]
    said: list[str]


def is_clear(ending: Ending, names: re.Pattern[str] | None) -> bool:
    """Whether a run that failed says in one line what is wrong.

    Of ours: exactly one line `error: ...`, exit code 2. Of DVC: lines `ERROR: ...`. No traceback in either.
    names: what the line must match; None: anything.
    """
    ours = [line for line in ending.text.splitlines() if line.startswith("error: ")]
    of_dvc = [line for line in ending.text.splitlines() if line.startswith("ERROR: ")]
    if "Traceback (most recent call last)" in ending.text or len(ours) > 1 or not ours + of_dvc:
        return False
    if ours and not (ending.code == USER_ERROR or re.search(rf"exited with {USER_ERROR}\b", ending.text)):
        return False
    return names is None or bool(names.search("\n".join(ours or of_dvc)))


def follow_remedy(project: Path, text: str) -> None:
    """Do what an error says: wait, or run the commands in it that stand between backticks."""
    lines = [line for line in text.splitlines() if line.startswith("error: ")]
    for line in lines:
        if "Wait for it" in line:
            wait_for_strays(project, TO_WAIT)
        for command in re.findall(r"`([^`]+)`", line):
            words = shlex.split(command)
            if words[0] not in ALLOWED:
                continue
            if words[0] == "make":
                words = [*MAKE, *(word for word in words[1:] if word != "repro")]  # that comes anyway
                if len(words) == len(MAKE):
                    continue
            subprocess.run(words, cwd=project, env=environment(project.parent), capture_output=True, check=False)


def hold_trial(campaign: Campaign, planned: Planned, seed: int, scratch: Path) -> Verdict:
    """Inject one fault, run the pipeline again as a person would, and compare."""
    began = time.monotonic()
    folder = scratch / f"trial-{planned.number:03d}"
    for draw in range(DRAWS):
        trial = Trial.begin(campaign, planned, f"{seed} {planned.number} {draw}", folder)
        verdict = None
        try:
            verdict = _judge(trial, planned, began)
            return verdict
        except TooLateError:
            continue
        finally:
            _clear_away(folder, keep=verdict is not None and verdict.outcome is Outcome.LOST)
    raise RuntimeError(f"fault {planned.number} ({planned.kind}, {planned.stage}) always came after the run's end")


def _judge(trial: Trial, planned: Planned, began: float) -> Verdict:
    """Harm a run, do as the errors say until the pipeline ends well, and look at what is there then."""
    kind = KINDS[planned.kind]
    said: list[str] = []
    problems: list[str] = []
    clear = False
    with trial.undo:
        ending = kind.harm(trial)
    said.append(ending.text)
    if kind.names is None:  # killed: what it said meanwhile is not judged
        ending = pipeline(trial.project)
        said.append(ending.text)
    for _ in range(REMEDIES):
        if ending.code == 0:
            break
        if not is_clear(ending, kind.names):
            problems.append(f"no clear error (exit code {ending.code})")
        clear = True
        follow_remedy(trial.project, ending.text)
        ending = pipeline(trial.project)
        said.append(ending.text)
    if ending.code:
        problems.append(f"the remedy did not help (exit code {ending.code})")
    problems += differences(trial)
    outcome = Outcome.LOST if problems else Outcome.CLEAR_ERROR if clear else Outcome.RECOVERED
    return Verdict(
        planned.number, planned.kind, planned.stage, outcome, round(time.monotonic() - began, 1), problems, said
    )


def differences(trial: Trial) -> list[str]:
    """What is not as in a run without a fault: files, DVC's objects, git's status, processes."""
    expected, project = trial.campaign.reference, trial.project
    problems = [f"process {process.pid} still runs" for process in wait_for_strays(project, TO_END)]
    found = look_at(project)
    names = found.files.keys() | expected.files.keys()
    for name in sorted(names):
        if name not in found.files:
            problems.append(f"{name} is missing")
        elif name not in expected.files:
            problems.append(f"{name} was left behind")
        elif found.files[name] != expected.files[name]:
            problems.append(f"{name} differs")
    if found.status != expected.status:
        problems.append("git status differs")
    problems += [f"DVC's object {name} is missing" for name in sorted(expected.cache - found.cache)]
    return problems + [f"DVC's object {name} is damaged" for name in damaged_objects(project / CACHE)]


def damaged_objects(cache: Path) -> list[str]:
    """Objects whose bytes are not those their names promise."""
    damaged = []
    for name in sorted(files_in(cache)):
        match = re.fullmatch(r"files/md5/([0-9a-f]{2})/([0-9a-f]{30})(\.dir)?", name)
        if match and hashlib.md5((cache / name).read_bytes()).hexdigest() != match[1] + match[2]:
            damaged.append(name)
    return damaged


def _clear_away(folder: Path, keep: bool) -> None:
    """End what still runs there, and remove the folder unless it is to be looked at."""
    for process in strays(folder):
        process.kill()
    unmount(folder, keep)
    if not keep:
        shutil.rmtree(folder, ignore_errors=True)
