"""What MLflow records of a stage, and that a failing tracker never stops one."""

import subprocess
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest
from projects import Project, hashes

from lockstep.core import tracking
from lockstep.core.settings import Params, load_params
from lockstep.core.tracking import begin, numbers, settings_of, tags_of, track

# urllib3, when imported, opens a socket to see whether there is IPv6.
pytestmark = [pytest.mark.filterwarnings("ignore:A test tried to use socket")]


@pytest.fixture
def params(project: Project) -> Params:
    """Settings with a tracker in the project's folder."""
    # By its whole path, for MLflow keeps what it once opened under the name it was given.
    project.set("tracking", enabled=True, uri=f"sqlite:///{project.folder}/mlflow.db", experiment="tests")
    return load_params()


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An empty tracking database: to make one takes seconds."""
    import mlflow

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{path}").search_experiments()
    return path.read_bytes()


@pytest.fixture(autouse=True)
def tracker(project: Project, database: bytes) -> None:
    Path("mlflow.db").write_bytes(database)


def recorded(params: Params) -> tuple[Any, list[Any]]:
    """MLflow's client, and the runs in it."""
    import mlflow

    client = mlflow.MlflowClient(params.tracking.uri)
    return client, list(client.search_runs([client.get_experiment_by_name("tests").experiment_id]))


def test_each_stage_is_a_child_of_one_run_of_the_pipeline(params: Params) -> None:
    track("prepare", params, {"rows": {"train": 48}})
    track("train", params, {"loss": 1.5, "verdict": "good", "ok": True}, curve=[{"step": 3, "loss": 2.5}])
    runs = {run.info.run_name: run for run in recorded(params)[1]}
    assert sorted(runs) == ["pipeline", "prepare", "train"]
    parent = runs["pipeline"].info.run_id
    assert runs["train"].data.tags["mlflow.parentRunId"] == runs["prepare"].data.tags["mlflow.parentRunId"] == parent
    assert runs["prepare"].data.metrics == {"rows.train": 48.0}
    assert runs["train"].data.params["train.epochs"] == "2"
    assert runs["train"].data.params.keys() == settings_of(params).keys()
    assert {run.info.status for run in runs.values()} == {"FINISHED"}


def test_curves_and_files_are_kept(params: Params) -> None:
    Path("note.md").write_text("hello")
    track(
        "train", params, {"loss": 1.0}, curve=[{"step": n, "nll": 3.0 - n} for n in (1, 2)], artifacts=[Path("note.md")]
    )
    client, runs = recorded(params)
    [run] = [run.info.run_id for run in runs if run.info.run_name == "train"]
    assert [(point.step, point.value) for point in client.get_metric_history(run, "nll")] == [(1, 2.0), (2, 1.0)]
    assert [file.path for file in client.list_artifacts(run)] == ["note.md"]


def test_another_pipeline_process_is_another_run(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    track("prepare", params, {})
    monkeypatch.setattr(tracking, "_pipeline_process", lambda: psutil.Process(1))
    track("prepare", params, {})
    assert sorted(run.info.run_name for run in recorded(params)[1]) == ["pipeline", "pipeline", "prepare", "prepare"]


def test_the_nearest_dvc_above_is_the_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ancestor:
        def __init__(self, *line: str) -> None:
            self.line = list(line)

        def cmdline(self) -> list[str]:
            return self.line

    above = [Ancestor("make", "repro"), Ancestor("python", "/venv/bin/dvc", "repro"), Ancestor("dvc", "exp")]
    monkeypatch.setattr(psutil.Process, "parents", lambda self: above)
    assert tracking._pipeline_process() is above[1]
    monkeypatch.setattr(psutil.Process, "parents", lambda self: above[:1])
    assert tracking._pipeline_process().pid == psutil.Process().pid


@pytest.mark.parametrize("uri", ["sqlite:///params.yaml/mlflow.db", "nonsense://x"])
def test_a_tracker_that_fails_is_a_warning_and_no_more(
    project: Project, params: Params, uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    project.set("tracking", uri=uri)
    track("prepare", load_params(), {})
    line = capsys.readouterr().err
    assert line.startswith("warning: MLflow ")
    assert line.count("\n") == 1


def test_a_tracker_that_is_off_is_left_alone(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "_record", lambda *_: pytest.fail("was called"))
    track("prepare", load_params(), {})


def test_a_stage_that_is_tracked_writes_the_same_bytes(after: Project, database: bytes) -> None:
    Path("mlflow.db").write_bytes(database)
    before = hashes("models/export")
    after.set("tracking", enabled=True, uri=f"sqlite:///{after.folder}/mlflow.db")
    after.run("export")
    assert hashes("models/export") == before


def test_numbers_are_found_however_deep_and_nothing_else() -> None:
    values = {"a": 1, "b": {"c": 2.5, "d": {"e": 3}}, "f": True, "g": "4", "h": None, "i": [1]}
    assert numbers(values) == {"a": 1.0, "b.c": 2.5, "b.d.e": 3.0}


def test_commit_changes_and_hashes_are_tags(project: Project, params: Params) -> None:
    alone = tags_of(params)
    assert (set(alone), alone["dvc_lock"]) == ({"dvc_lock", "data_hash"}, "none")
    Path("dvc.lock").write_text("a")
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    for command in (["init", "-q"], ["add", "dvc.lock"], ["commit", "-q", "-m", "x"]):
        subprocess.run(["git", *identity, *command], check=True, capture_output=True)
    tags = tags_of(params)
    assert (len(tags["git_commit"]), tags["git_dirty"], tags["data_hash"]) == (40, "false", alone["data_hash"])
    Path("dvc.lock").write_text("b")
    project.put("data/raw/colours.csv", "question,answer\nWhy?,So.\n")
    changed = tags_of(params)
    assert changed["git_dirty"] == "true"
    assert not {changed["dvc_lock"], changed["data_hash"]} & {tags["dvc_lock"], tags["data_hash"], "none"}


def test_a_stage_that_goes_on_after_an_interruption_keeps_its_run(params: Params) -> None:
    begin("train", params, "key")
    [opened] = [run.info.run_id for run in recorded(params)[1] if run.info.run_name == "train"]
    begin("train", params, "key")
    track("train", params, {"loss": 1.0})
    [ended] = [run for run in recorded(params)[1] if run.info.run_name == "train"]
    assert (ended.info.run_id, ended.info.status, ended.data.metrics) == (opened, "FINISHED", {"loss": 1.0})


def test_other_work_gets_a_run_of_its_own(params: Params) -> None:
    begin("train", params, "key")
    begin("train", params, "another")
    assert len([run for run in recorded(params)[1] if run.info.run_name == "train"]) == 2


@pytest.mark.parametrize("content", ["", "{", "[]", '{"run_id": 3}'])
def test_a_broken_note_of_the_run_begins_a_new_one(params: Params, content: str) -> None:
    track("prepare", params, {})
    tracking.PIPELINE_RUN.write_text(content)
    track("tokenize", params, {})
    assert sorted(run.info.run_name for run in recorded(params)[1]) == ["pipeline", "pipeline", "prepare", "tokenize"]


def test_a_tracker_that_does_not_answer_is_left_behind(
    params: Params, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    never = threading.Event()
    monkeypatch.setattr(tracking, "_record", lambda *_: never.wait(5))
    monkeypatch.setattr(tracking, "TIMEOUT_SECONDS", 0.01)
    track("prepare", params, {})
    never.set()
    assert "(no answer in 0 s)" in capsys.readouterr().err


def test_a_token_in_the_environment_reaches_no_run(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_very_secret")
    track("export", params, {"loss": 1.0})
    assert b"hf_very_secret" not in Path("mlflow.db").read_bytes()
    assert b"hf_very_secret" not in tracking.PIPELINE_RUN.read_bytes()
