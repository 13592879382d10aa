"""Experiments that DVC runs here, in a copy or in its queue go on from their last checkpoint after a kill."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from experiments import eventually, kill_training, kill_workers, printed, run_in_queue, running, stages, state
from projects import Project, hashes
from repositories import dvc, git

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

RATE = "train.learning_rate=0.02"
RESUMED = "goes on from the checkpoint of step "
DIRECTLY = {
    "repro": ["repro", "train"],
    "workspace": ["exp", "run", "train"],
    "copy": ["exp", "run", "--temp", "train"],
}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, base: Path, committed: Path) -> dict[str, str]:
    """Hashes of the model that training with RATE gives when it is not interrupted."""
    return trained_alone(tmp_path_factory.mktemp("uninterrupted") / "project", base, committed, 0.02)


def trained_alone(folder: Path, base: Path, committed: Path, rate: float) -> dict[str, str]:
    """Hashes of the model that the train stage gives by itself, without DVC."""
    with pytest.MonkeyPatch.context() as patch:
        project = Project(folder, base, patch, like=committed)
        project.set("train", learning_rate=rate)
        project.run("train")
        return hashes("models/finetuned")


@pytest.fixture
def queue(repository: Project) -> Iterator[Project]:
    """A project whose queue may be left in any state."""
    yield repository
    kill_workers()


@pytest.mark.parametrize("who", ["stage", "dvc"])
@pytest.mark.parametrize("way", DIRECTLY)
def test_killed_half_way_and_started_again_it_goes_on_and_ends_with_the_same_bytes(
    repository: Project, uninterrupted: dict[str, str], way: str, who: str
) -> None:
    command = DIRECTLY[way] if way == "repro" else [*DIRECTLY[way], "--name", "mine", "--set-param", RATE]
    if way == "repro":
        repository.set("train", learning_rate=0.02)
    with running(*command) as process:
        kill_training(who)
        assert process.wait(timeout=60) != 0
    assert RESUMED not in printed()
    with running(*command) as process:
        assert process.wait(timeout=240) == 0, printed()
    assert RESUMED in printed()
    if way == "copy":
        dvc("exp", "apply", "mine")
    assert hashes("models/finetuned") == uninterrupted
    assert list(Path(".checkpoints").iterdir()) == []


@pytest.mark.parametrize(("who", "command"), [("stage", "start"), ("dvc", "run-all")])
def test_killed_in_the_queue_and_queued_again_it_goes_on_and_ends_with_the_same_bytes(
    queue: Project, uninterrupted: dict[str, str], who: str, command: str
) -> None:
    experiment = ["exp", "run", "--queue", "--name", "mine", "--set-param", RATE, "train"]
    dvc(*experiment)
    run_in_queue("mine")
    kill_training(who)
    eventually(lambda: state("mine") == "Failed")
    dvc("queue", "remove", "--all")
    dvc(*experiment)
    if command == "start":
        run_in_queue("mine")
        eventually(lambda: state("mine") == "Success")
    else:
        dvc("exp", "run", "--run-all")
    assert RESUMED in dvc("queue", "logs", "mine")
    dvc("exp", "apply", "mine")
    assert hashes("models/finetuned") == uninterrupted
    assert list(Path(".checkpoints").iterdir()) == []


def test_two_experiments_at_once_do_not_disturb_each_other(
    queue: Project, uninterrupted: dict[str, str], tmp_path: Path, base: Path, committed: Path
) -> None:
    rates = {"one": RATE, "two": "train.learning_rate=0.03"}
    for name, rate in rates.items():
        dvc("exp", "run", "--queue", "--name", name, "--set-param", rate, "train")
    run_in_queue(*rates)
    eventually(lambda: len(stages()) == 2 and len(list(Path(".checkpoints").glob("*/checkpoint-*/manifest.json"))) > 1)
    for name in rates:
        eventually(lambda name=name: state(name) == "Success")  # type: ignore[misc]
    models = {}
    for name in rates:
        dvc("exp", "apply", name)
        models[name] = hashes("models/finetuned")
        git("checkout", "--quiet", "--force", "HEAD")
    assert models == {"one": uninterrupted, "two": trained_alone(tmp_path / "two", base, committed, 0.03)}
    assert list((queue.folder / ".checkpoints").iterdir()) == []
