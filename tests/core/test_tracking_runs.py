"""MLflow: one parent run with a child per stage, restarted work in its old run, and no tracker that can stop a stage."""

import shutil
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from projects import Project

from lockstep.core import tracking
from lockstep.core.settings import Params, load_params

CURVE = [{"step": 1, "tokens": 10, "loss": 2.0}, {"step": 2, "tokens": 20, "loss": 1.5}]


class Process:
    """A pipeline's process, as far as tracking looks at it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def create_time(self) -> float:
        return float(self.pid)


@pytest.fixture
def tracked(project: Project, monkeypatch: pytest.MonkeyPatch) -> Params:
    uri = f"sqlite:///{Path.cwd()}/mlflow.db"
    project.set("tracking", enabled=True, uri=uri)
    monkeypatch.setattr(tracking, "_pipeline_process", lambda: Process(1))
    return load_params()


def client(params: Params) -> Any:
    return tracking._client(params)


def runs(params: Params) -> dict[str, list[Any]]:
    """Name -> runs of that name."""
    tracker = client(params)
    experiment = tracker.get_experiment_by_name(params.tracking.experiment)
    by_name: dict[str, list[Any]] = {}
    for run in tracker.search_runs([experiment.experiment_id]):
        by_name.setdefault(run.info.run_name, []).append(run)
    return by_name


def test_stages_of_one_pipeline_are_children_of_one_run(tracked: Params) -> None:
    tracking.track("prepare", tracked, {"rows": 3, "leakage": {"questions": 0}})
    Path("card.md").write_text("# Model\n")
    tracking.track("train", tracked, {"loss": 1.0}, curve=CURVE, artifacts=[Path("card.md")])
    by_name = runs(tracked)
    assert {name: len(some) for name, some in by_name.items()} == {"pipeline": 1, "prepare": 1, "train": 1}
    parent, child = by_name["pipeline"][0], by_name["train"][0]
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert by_name["prepare"][0].data.metrics == {"rows": 3, "leakage.questions": 0}
    assert child.data.params["train.epochs"] == "2"
    points = client(tracked).get_metric_history(child.info.run_id, "loss")
    assert [(point.step, point.value) for point in points if point.step] == [(1, 2.0), (2, 1.5)]
    assert [file.path for file in client(tracked).list_artifacts(child.info.run_id)] == ["card.md"]
    assert {run.info.status for run in (parent, child)} == {"FINISHED"}


def test_runs_are_tagged_with_data_and_lock(tracked: Params) -> None:
    Path("dvc.lock").write_text("schema: '2.0'\n")
    tags = tracking.tags_of(tracked)
    assert set(tags) == {"dvc_lock", "data_hash"}
    Path(tracked.data.path).write_text("question,answer\nother,data\n")
    changed = tracking.tags_of(tracked)
    assert changed["data_hash"] != tags["data_hash"]
    assert changed["dvc_lock"] == tags["dvc_lock"] != "none"


def test_a_second_pipeline_gets_a_parent_of_its_own(tracked: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    tracking.track("prepare", tracked, {})
    monkeypatch.setattr(tracking, "_pipeline_process", lambda: Process(2))
    tracking.track("prepare", tracked, {})
    assert {name: len(some) for name, some in runs(tracked).items()} == {"pipeline": 2, "prepare": 2}


def test_restarted_training_goes_on_in_the_run_it_had(tracked: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    tracking.begin("train", tracked, "fingerprint")
    assert runs(tracked)["train"][0].info.status == "RUNNING"
    monkeypatch.setattr(tracking, "_pipeline_process", lambda: Process(2))  # the first was killed
    tracking.begin("train", tracked, "fingerprint")
    tracking.track("train", tracked, {"loss": 1.0}, curve=CURVE)
    tracking.track("evaluate", tracked, {})
    by_name = runs(tracked)
    assert {name: len(some) for name, some in by_name.items()} == {"pipeline": 1, "train": 1, "evaluate": 1}
    assert by_name["train"][0].info.status == "FINISHED"


def test_other_training_begins_a_run_of_its_own(tracked: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    tracking.begin("train", tracked, "fingerprint")
    monkeypatch.setattr(tracking, "_pipeline_process", lambda: Process(2))
    tracking.begin("train", tracked, "another fingerprint")
    tracking.track("train", tracked, {"loss": 1.0})
    assert {name: len(some) for name, some in runs(tracked).items()} == {"pipeline": 2, "train": 2}


def test_an_experiment_in_a_copy_is_recorded_in_the_project(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.set("tracking", enabled=True, uri="sqlite:///mlflow.db")
    copy = project.folder / ".dvc" / "tmp" / "exps" / "tmp1"
    shutil.copytree(project.folder, copy)
    monkeypatch.setenv("DVC_ROOT", str(project.folder))
    monkeypatch.chdir(copy)
    project.put("card.md", "# Model\n")
    tracking.track("train", load_params(), {"loss": 1.0}, artifacts=[Path("card.md")])
    assert not (copy / "mlflow.db").exists()
    shutil.rmtree(copy)
    monkeypatch.chdir(project.folder)
    [child] = runs(load_params())["train"]
    assert [path.name for path in Path("mlruns").rglob("*.md")] == ["card.md"]
    assert [file.path for file in client(load_params()).list_artifacts(child.info.run_id)] == ["card.md"]


def test_a_run_that_was_deleted_is_begun_anew(tracked: Params) -> None:
    tracking.begin("train", tracked, "fingerprint")
    client(tracked).delete_run(runs(tracked)["train"][0].info.run_id)
    tracking.begin("train", tracked, "fingerprint")
    tracking.track("train", tracked, {})
    assert len(runs(tracked)["train"]) == 1


def test_a_tracker_that_can_not_be_written_is_a_warning(tracked: Params, capsys: pytest.CaptureFixture[str]) -> None:
    Path("a-file").write_text("")  # where a folder would have to be
    uri = f"sqlite:///{Path.cwd()}/a-file/mlflow.db"
    blocked = tracked.model_copy(update={"tracking": tracked.tracking.model_copy(update={"uri": uri})})
    tracking.track("prepare", blocked, {})
    assert "warning: MLflow " in capsys.readouterr().err


def test_a_locked_database_costs_a_while_and_not_the_stage(
    tracked: Params, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tracking.track("prepare", tracked, {})
    monkeypatch.setattr(tracking, "TIMEOUT_SECONDS", 1.0)
    with sqlite3.connect("mlflow.db", isolation_level=None) as lock:
        lock.execute("BEGIN EXCLUSIVE")
        began = time.monotonic()
        tracking.track("tokenize", tracked, {})
        took = time.monotonic() - began
        lock.execute("ROLLBACK")
    assert took < 3
    assert "warning: MLflow " in capsys.readouterr().err


def test_a_broken_memory_of_runs_is_forgotten(tracked: Params) -> None:
    tracking.PIPELINE_RUN.parent.mkdir(exist_ok=True)
    tracking.PIPELINE_RUN.write_text('["not", "ours"]')
    tracking.track("prepare", tracked, {})
    assert len(runs(tracked)["prepare"]) == 1


def test_switched_off_it_imports_and_writes_nothing(project: Project) -> None:
    tracking.track("prepare", load_params(), {})
    assert not Path("mlflow.db").exists()
