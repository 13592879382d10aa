"""Records each stage in MLflow: its settings, metrics and files. A tracker that fails or is slow never stops a stage.

A pipeline run is one parent run with a child run per stage. The pipeline is the `dvc` process that started the stage,
or the stage itself when it was started by hand. A stage that resumes after an interruption continues in its old run.
"""

import hashlib
import json
import logging
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

from lockstep.core.atomic_files import write_json
from lockstep.core.checksums import files_below, sha256_file
from lockstep.core.console import warn
from lockstep.core.git import git_output
from lockstep.core.nested import flatten
from lockstep.core.paths import CHECKPOINTS, DVC_LOCK, project_root
from lockstep.core.settings import Params

PIPELINE_RUN = CHECKPOINTS / "pipeline_run.json"  # the parent's run id and identity, and the children still open
SQLITE = "sqlite:///"
TIMEOUT_SECONDS = 30.0  # for all that one stage records; then the stage goes on without MLflow
LOG_BATCH_SIZE = 1000  # metrics in one call of log_batch; MLflow accepts no more
MLFLOW_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


def begin(stage: str, params: Params, key: str) -> None:
    """Open the child run of a long stage; `track` ends it. Any failure is only a warning.

    key: identifies the work. If a run with the same key is still open, it and its parent are continued.
    """
    _try(params, lambda: _begin(stage, params, key))


def track(
    stage: str,
    params: Params,
    metrics: dict[str, Any],
    curve: Sequence[dict[str, float]] = (),
    artifacts: Sequence[Path] = (),
) -> None:
    """Record one stage: its settings, metrics, curve and files. Any failure is only a warning.

    metrics: nested; only numbers are recorded. curve: points {'step': ..., name: value}. artifacts: files.
    """
    _try(params, lambda: _record(stage, params, metrics, curve, artifacts))


def _try(params: Params, work: Callable[[], None]) -> None:
    """Do the work in a thread, waiting TIMEOUT_SECONDS at most: a tracker that is down must not hold up a stage."""
    if not params.tracking.enabled:
        return
    problems: list[str] = []

    def guarded() -> None:
        try:
            work()
        except Exception as error:
            reason = (str(error).strip().splitlines() or [""])[0]
            problems.append(f"{type(error).__name__}: {reason}")

    thread = threading.Thread(target=guarded, daemon=True)
    thread.start()
    thread.join(TIMEOUT_SECONDS)
    if thread.is_alive():
        problems.append(f"no answer in {TIMEOUT_SECONDS:.0f} s")
    if problems:
        warn(f"MLflow did not take this run ({problems[0]}); the pipeline goes on")


def _begin(stage: str, params: Params, key: str) -> None:
    client = _client(params)
    state = _read_state()
    child = state.get("open", {}).get(stage, {})
    resumes = child.get("key") == key and state.get("identity", [])[2:] == _identity(params)[2:]
    if resumes and _exists(client, child["run_id"]) and _exists(client, state["run_id"]):
        for run_id in (state["run_id"], child["run_id"]):
            client.update_run(run_id, status="RUNNING")
        write_json(PIPELINE_RUN, {**state, "identity": _identity(params)})
        return
    parent = _parent_run(client, params)
    child = {"key": key, "run_id": _create_child_run(client, stage, params, parent)}
    state = _read_state()
    write_json(PIPELINE_RUN, {**state, "open": {**state.get("open", {}), stage: child}})


def _record(
    stage: str,
    params: Params,
    metrics: dict[str, Any],
    curve: Sequence[dict[str, float]],
    artifacts: Sequence[Path],
) -> None:
    client = _client(params)
    from mlflow.entities import Metric

    parent = _parent_run(client, params)
    state = _read_state()
    open_child = state.get("open", {}).pop(stage, None)
    child = open_child["run_id"] if open_child else _create_child_run(client, stage, params, parent)
    start_time = client.get_run(child).info.start_time
    entries = [Metric(name, value, start_time, 0) for name, value in numbers(metrics).items()]
    for point in curve:
        step = int(point["step"])
        entries += [Metric(name, float(value), start_time, step) for name, value in point.items() if name != "step"]
    for start in range(0, len(entries), LOG_BATCH_SIZE):
        client.log_batch(child, metrics=entries[start : start + LOG_BATCH_SIZE])
    for artifact in artifacts:
        client.log_artifact(child, str(artifact))
    client.set_terminated(child)
    client.set_terminated(parent)
    write_json(PIPELINE_RUN, state)


def _client(params: Params) -> Any:
    """MLflow's client, with our experiment set. MLflow is imported here because that takes a second."""
    for name, value in MLFLOW_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import mlflow

    for name in ("mlflow", "alembic"):  # mlflow sets its own levels when it is imported
        logging.getLogger(name).setLevel(logging.ERROR)
    root, uri, name = project_root(), params.tracking.uri, params.tracking.experiment
    if uri.startswith(SQLITE):  # its path is relative to the current folder, which may be a copy that DVC will remove
        uri = f"{SQLITE}{root / uri.removeprefix(SQLITE)}"
    mlflow.set_tracking_uri(uri)
    client = mlflow.MlflowClient()
    if client.get_experiment_by_name(name) is None and root.is_absolute() and uri.startswith(SQLITE):
        client.create_experiment(name, artifact_location=(root / "mlruns").as_uri())
    mlflow.set_experiment(name)
    return client


def _create_child_run(client: Any, stage: str, params: Params, parent: str) -> str:
    """Create a run below the parent with all settings; returns its id."""
    from mlflow.entities import Param

    tags = {"mlflow.parentRunId": parent, "stage": stage, **tags_of(params)}
    experiment = client.get_run(parent).info.experiment_id
    run_id: str = client.create_run(experiment, run_name=stage, tags=tags).info.run_id
    client.log_batch(run_id, params=[Param(name, str(value)) for name, value in settings_of(params).items()])
    return run_id


def _parent_run(client: Any, params: Params) -> str:
    """The id of this pipeline's run, which is created when its first stage reports."""
    state = _read_state()
    if state.get("identity") == _identity(params):
        return str(state["run_id"])
    experiment = client.get_experiment_by_name(params.tracking.experiment)
    run_id: str = client.create_run(experiment.experiment_id, run_name="pipeline", tags=tags_of(params)).info.run_id
    write_json(PIPELINE_RUN, {"identity": _identity(params), "run_id": run_id})
    return run_id


def _identity(params: Params) -> list[Any]:
    """What distinguishes this pipeline run from others: its process, and where it is tracked."""
    process = _pipeline_process()
    return [process.pid, process.create_time(), params.tracking.uri, params.tracking.experiment]


def _read_state() -> dict[str, Any]:
    """The content of PIPELINE_RUN; empty if it is missing or broken."""
    try:
        state = json.loads(PIPELINE_RUN.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) and isinstance(state.get("run_id"), str) else {}


def _exists(client: Any, run_id: str) -> bool:
    """Whether MLflow has a run and it was not deleted."""
    from mlflow.exceptions import MlflowException

    try:
        return bool(client.get_run(run_id).info.lifecycle_stage == "active")
    except MlflowException:
        return False


def _pipeline_process() -> psutil.Process:
    """The nearest ancestor that is `dvc`, or this process if there is none."""
    this_process = psutil.Process()
    for ancestor in this_process.parents():
        try:
            if any(Path(part).name == "dvc" for part in ancestor.cmdline()[:3]):
                return ancestor
        except psutil.Error:
            break
    return this_process


def tags_of(params: Params) -> dict[str, str]:
    """Hashes of dvc.lock and of the data and, inside git, the commit and whether the work tree differs from it."""
    tags = {"dvc_lock": _hash([DVC_LOCK]), "data_hash": _hash(files_below(Path(params.data.path)))}
    commit = git_output("rev-parse", "HEAD")
    if commit:
        dirty = "true" if git_output("status", "--porcelain", "--untracked-files=no") else "false"
        tags |= {"git_commit": commit, "git_dirty": dirty}
    return tags


def _hash(files: Sequence[Path]) -> str:
    """A hash of the files' bytes, 16 hex digits; 'none' if there is no file."""
    digests = [bytes.fromhex(sha256_file(path)) for path in files if path.is_file()]
    return hashlib.sha256(b"".join(digests)).hexdigest()[:16] if digests else "none"


def numbers(metrics: dict[str, Any]) -> dict[str, float]:
    """Every number in nested metrics, as 'tuned.loss' -> 1.2; true and false are no numbers."""
    return {
        name: float(value)
        for name, value in flatten(metrics).items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def settings_of(params: Params) -> dict[str, Any]:
    """Every setting as 'train.epochs' -> 6. None of them is a secret: those stay in the environment."""
    return {name: value for name, value in flatten(params.model_dump()).items() if value != {}}
