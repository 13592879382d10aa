"""The faults: what each kind does to a run, and what a clear error about it would name."""

import random
import re
import shutil
import signal
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.torture.damage import (
    damage,
    drop_override,
    fill_disk,
    limit_file_size,
    locked_database,
    make_read_only,
    set_clock_back,
    small_disk,
    use_tracker,
)
from benchmarks.torture.project import STAGES, Campaign
from benchmarks.torture.victim import Ending, Victim, pipeline

WRITES = {  # folders in which a stage, or DVC on its behalf, makes files
    "prepare": ("data", "metrics"),
    "tokenize": ("data", "metrics"),
    "train": ("models", "metrics", "metrics/plots", ".checkpoints"),
    "evaluate": ("metrics", "metrics/plots"),
    "export": ("models",),
}
OF_DVC = (".", ".dvc/tmp", ".dvc/cache/files/md5")
ROOM = (0, 4096, 65536, 262144)  # bytes left on a full disk
LEAST_FILE, LARGEST_FILE = 512, 200_000  # bytes; the bound on each file where no small disk can be mounted


@dataclass
class Trial:
    """One fault about to be injected. undo: takes its outer causes away again."""

    campaign: Campaign
    stage: str
    project: Path
    random: random.Random
    undo: ExitStack = field(default_factory=ExitStack)

    @classmethod
    def begin(cls, campaign: Campaign, planned: "Planned", seed: str, folder: Path) -> "Trial":
        """A fresh copy of the project as it was before the stage, in `folder`."""
        shutil.copytree(campaign.templates[planned.stage], folder / "project", symlinks=True)
        return cls(campaign, planned.stage, folder / "project", random.Random(seed))

    def during_run(self, limit: Callable[[], None] | None = None) -> Victim:
        """A run that has come to a random moment of its whole length, DVC's own work included."""
        victim = Victim(self.project, limit)
        victim.sleep(self.random.random() * self.campaign.whole[self.stage])
        return victim

    def during_stage(self, limit: Callable[[], None] | None = None) -> Victim:
        """A run that has come to a random moment of its stage."""
        victim = Victim(self.project, limit)
        victim.stage(self.stage)
        victim.sleep(self.random.random() * self.campaign.stage[self.stage])
        return victim


Harm = Callable[[Trial], Ending]


@dataclass(frozen=True)
class Kind:
    """harm: injects the fault and returns how the run ended that has to cope with it.

    names: what the error about it must match; None where the run was killed, so that nothing it says is judged.
    """

    harm: Harm
    stages: tuple[str, ...] = STAGES
    names: re.Pattern[str] | None = None


def kill_stage(number: int) -> Harm:
    """A signal to the process of the stage."""

    def harm(trial: Trial) -> Ending:
        victim = trial.during_stage()
        victim.stage(trial.stage).send_signal(number)
        return victim.wait()

    return harm


def kill_dvc(number: int) -> Harm:
    """A signal to DVC alone; the stage it started is still there."""

    def harm(trial: Trial) -> Ending:
        victim = trial.during_run()
        victim.process.send_signal(number)
        return victim.wait()

    return harm


def kill_group(number: int) -> Harm:
    """A signal to DVC and all it started."""

    def harm(trial: Trial) -> Ending:
        victim = trial.during_run()
        victim.send_to_group(number)
        return victim.wait()

    return harm


def full_disk(trial: Trial) -> Ending:
    """The disk with the project, its cache and DVC's index is full, from the start or from some moment on."""
    room = trial.random.choice(ROOM)
    if not small_disk(trial.project.parent):
        limit = trial.random.randint(LEAST_FILE, LARGEST_FILE)
        return Victim(trial.project, lambda: limit_file_size(limit)).wait()
    if trial.random.random() < 0.3:
        fill_disk(trial.project.parent, room, trial.undo)
        return Victim(trial.project).wait()
    victim = trial.during_stage()
    fill_disk(trial.project.parent, room, trial.undo)
    return victim.wait()


def read_only(trial: Trial) -> Ending:
    """A folder that is written to can't be, from the start or from some moment on."""
    folder = trial.project / trial.random.choice(WRITES[trial.stage] + OF_DVC)
    if trial.random.random() < 0.7:
        make_read_only(folder, trial.undo)
        return Victim(trial.project, drop_override).wait()
    victim = trial.during_stage(drop_override)
    make_read_only(folder, trial.undo)
    return victim.wait()


def damaged_checkpoint(how: str) -> Harm:
    """Killed in the middle of training, and then a file of what it left to go on from is damaged."""

    def harm(trial: Trial) -> Ending:
        victim = trial.during_stage()
        while not (manifests := list(trial.project.glob(".checkpoints/*/checkpoint-*/manifest.json"))):
            victim.sleep(0.02)
        victim.send_to_group(signal.SIGKILL)
        victim.wait()
        run = manifests[0].parents[1]
        files = [path for path in run.rglob("*") if path.is_file() and path.stat().st_size]
        damage(trial.random.choice(sorted(files)), how, trial.random)
        return pipeline(trial.project)

    return harm


def damaged_input(pattern: str, how: str) -> Harm:
    """A file that an earlier stage made is damaged: openly, or behind DVC's back once it has looked at it."""

    def harm(trial: Trial) -> Ending:
        files = [path for path in trial.project.glob(pattern) if path.stat().st_size]
        path = trial.random.choice(sorted(files))
        if trial.random.random() < 0.5:
            damage(path, how, trial.random)
            return pipeline(trial.project)
        victim = Victim(trial.project)
        victim.stage(trial.stage)
        damage(path, how, trial.random, keep_time=True)
        return victim.wait()

    return harm


def damaged_lock(how: str) -> Harm:
    """dvc.lock is damaged between two runs."""

    def harm(trial: Trial) -> Ending:
        damage(trial.project / "dvc.lock", how, trial.random)
        return pipeline(trial.project)

    return harm


def clock_set_back(trial: Trial) -> Ending:
    """Killed, and then the clock goes back: everything there is was made in the future."""
    victim = trial.during_run()
    victim.send_to_group(signal.SIGKILL)
    victim.wait()
    set_clock_back(trial.project)
    return pipeline(trial.project)


def damaged_database(trial: Trial) -> Ending:
    """MLflow's database is cut off or no longer one."""
    database = use_tracker(trial.campaign.tracker, trial.project, trial.undo)
    damage(database, trial.random.choice(("truncate", "overwrite")), trial.random)
    return Victim(trial.project).wait()


def database_held(trial: Trial) -> Ending:
    """Another process holds MLflow's database for itself."""
    database = use_tracker(trial.campaign.tracker, trial.project, trial.undo)
    with locked_database(database):
        return Victim(trial.project).wait()


def database_gone(trial: Trial) -> Ending:
    """MLflow's database goes away while the stage runs."""
    database = use_tracker(trial.campaign.tracker, trial.project, trial.undo)
    victim = trial.during_stage()
    database.unlink()
    return victim.wait()


ARROW, WEIGHTS = "data/tokenized/*/*.arrow", "models/finetuned/model.safetensors"
FULL = re.compile("No space left|disk is full|disk I/O error|File too large|Too little disk", re.I)
READ_ONLY = re.compile("Permission denied|Read-only|not writable", re.I)
TOKENS, MODEL, LOCK = re.compile("data/tokenized"), re.compile("models/finetuned"), re.compile(r"dvc\.lock")
CHECKPOINT, TRACKER, FUTURE = re.compile("checkpoint"), re.compile("MLflow"), re.compile("clock|time")

KINDS: dict[str, Kind] = {
    "SIGKILL to the stage": Kind(kill_stage(signal.SIGKILL)),
    "SIGKILL to DVC": Kind(kill_dvc(signal.SIGKILL)),
    "SIGKILL to the group": Kind(kill_group(signal.SIGKILL)),
    "SIGTERM to the stage": Kind(kill_stage(signal.SIGTERM)),
    "SIGTERM to DVC": Kind(kill_dvc(signal.SIGTERM)),
    "SIGTERM to the group": Kind(kill_group(signal.SIGTERM)),
    "Ctrl-C": Kind(kill_group(signal.SIGINT)),
    "full disk": Kind(full_disk, names=FULL),
    "read-only folder": Kind(read_only, names=READ_ONLY),
    "checkpoint cut off": Kind(damaged_checkpoint("truncate"), ("train",), CHECKPOINT),
    "bit of a checkpoint flipped": Kind(damaged_checkpoint("flip"), ("train",), CHECKPOINT),
    "Arrow file cut off": Kind(damaged_input(ARROW, "truncate"), ("train", "evaluate"), TOKENS),
    "bit of an Arrow file flipped": Kind(damaged_input(ARROW, "flip"), ("train", "evaluate"), TOKENS),
    "weights cut off": Kind(damaged_input(WEIGHTS, "truncate"), ("evaluate", "export"), MODEL),
    "bit of the weights flipped": Kind(damaged_input(WEIGHTS, "flip"), ("evaluate", "export"), MODEL),
    "dvc.lock cut off": Kind(damaged_lock("truncate"), names=LOCK),
    "bit of dvc.lock flipped": Kind(damaged_lock("flip"), names=LOCK),
    "clock set back": Kind(clock_set_back, names=FUTURE),
    "MLflow's database damaged": Kind(damaged_database, names=TRACKER),
    "MLflow's database locked": Kind(database_held, names=TRACKER),
    "MLflow's database removed": Kind(database_gone, names=TRACKER),
}


@dataclass(frozen=True)
class Planned:
    """One fault of a campaign."""

    number: int
    kind: str
    stage: str


def plan(count: int, seed: int) -> list[Planned]:
    """`count` faults: every kind in turn, each over its stages in an order of its own."""
    order = random.Random(seed)
    kinds = order.sample(list(KINDS), len(KINDS))
    stages = {kind: order.sample(KINDS[kind].stages, len(KINDS[kind].stages)) for kind in kinds}
    faults = []
    for number in range(count):
        kind = kinds[number % len(kinds)]
        turn = stages[kind]
        faults.append(Planned(number + 1, kind, turn[number // len(kinds) % len(turn)]))
    return faults
