"""MLflow: what was run, with which settings, and what came out. Never a reason for a stage to fail, or to wait long.

One parent run per pipeline run (the `dvc` process that started the stage, or the stage itself when started by hand),
one child run per stage. A stage that was interrupted and goes on does so in the run it had, parent and child.
"""

import hashlib
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from lockstep.core.atomic_files import write_json
from lockstep.core.checksums import files_below, sha256_file
from lockstep.core.console import warn
from lockstep.core.git import git_output
from lockstep.core.paths import CHECKPOINTS, project_root
from lockstep.core.settings import Params

PIPELINE_RUN = CHECKPOINTS / "pipeline_run.json"  # the parent's id, whose it is, and the children that have not ended
DVC_LOCK = Path("dvc.lock")
SQLITE = "sqlite:///"
SECONDS = 30.0  # that MLflow may take for one stage before it is left behind
AT_ONCE = 1000  # metrics MLflow takes in one call
PATIENCE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


def begin(stage: str, params: Params, key: str) -> None:
    """Open the child run of a stage that takes long. `track` ends it.

    key: tells this work from any other. Where a run with the same key was begun and not ended, it and its parent go on.
    Whatever goes wrong is a warning and nothing more.
    """
    _try(params, lambda: _begin(stage, params, key))


def track(
    stage: str,
    params: Params,
    metrics: dict[str, Any],
    curve: Sequence[dict[str, float]] = (),
    artifacts: Sequence[Path] = (),
) -> None:
    """Record one stage: settings, final metrics (numbers only), a curve of {step, name: value} points, files.

    Whatever goes wrong is a warning and nothing more.
    """
    _try(params, lambda: _record(stage, params, metrics, curve, artifacts))


def _try(params: Params, work: Callable[[], None]) -> None:
    """Do the work in a thread of its own: a tracker that is down or locked must cost neither a model nor an hour."""
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
    thread.join(SECONDS)
    if thread.is_alive():
        problems.append(f"no answer in {SECONDS:.0f} s")
    if problems:
        warn(f"MLflow did not take this run ({problems[0]}); the pipeline goes on")


def _begin(stage: str, params: Params, key: str) -> None:
    client = _client(params)
    known = _state()
    child = known.get("open", {}).get(stage, {})
    goes_on = child.get("key") == key and known.get("identity", [])[2:] == _identity(params)[2:]
    if goes_on and _is_there(client, child["run_id"]) and _is_there(client, known["run_id"]):
        for run_id in (known["run_id"], child["run_id"]):
            client.update_run(run_id, status="RUNNING")
        write_json(PIPELINE_RUN, {**known, "identity": _identity(params)})
        return
    parent = _parent_run(client, params)
    opened = {"key": key, "run_id": _child_run(client, stage, params, parent)}
    known = _state()
    write_json(PIPELINE_RUN, {**known, "open": {**known.get("open", {}), stage: opened}})


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
    known = _state()
    begun = known.get("open", {}).pop(stage, None)
    child = begun["run_id"] if begun else _child_run(client, stage, params, parent)
    now = client.get_run(child).info.start_time
    points = [Metric(key, value, now, 0) for key, value in numbers(metrics)]
    for point in curve:
        step = int(point["step"])
        points += [Metric(key, float(value), now, step) for key, value in point.items() if key != "step"]
    for start in range(0, len(points), AT_ONCE):
        client.log_batch(child, metrics=points[start : start + AT_ONCE])
    for artifact in artifacts:
        client.log_artifact(child, str(artifact))
    client.set_terminated(child)
    client.set_terminated(parent)
    write_json(PIPELINE_RUN, known)


def _client(params: Params) -> Any:
    """MLflow's client with our experiment. Imported here: it takes a second, and most commands track nothing."""
    for name, value in (PATIENCE | {"MLFLOW_DISABLE_TELEMETRY": "true"}).items():
        os.environ.setdefault(name, value)
    import mlflow

    for name in ("mlflow", "alembic"):  # mlflow sets its own levels when it is imported
        logging.getLogger(name).setLevel(logging.ERROR)
    root, uri, name = project_root(), params.tracking.uri, params.tracking.experiment
    if uri.startswith(SQLITE):  # a path after it is relative to here, which may be a copy that DVC will remove
        uri = f"{SQLITE}{root / uri.removeprefix(SQLITE)}"
    mlflow.set_tracking_uri(uri)
    client = mlflow.MlflowClient()
    if client.get_experiment_by_name(name) is None and root.is_absolute() and uri.startswith(SQLITE):
        client.create_experiment(name, artifact_location=(root / "mlruns").as_uri())
    mlflow.set_experiment(name)
    return client


def _child_run(client: Any, stage: str, params: Params, parent: str) -> str:
    """A new run below the parent, with all settings."""
    from mlflow.entities import Param

    tags = {"mlflow.parentRunId": parent, "stage": stage, **tags_of(params)}
    experiment = client.get_run(parent).info.experiment_id
    run_id: str = client.create_run(experiment, run_name=stage, tags=tags).info.run_id
    client.log_batch(run_id, params=[Param(key, str(value)) for key, value in settings_of(params)])
    return run_id


def _parent_run(client: Any, params: Params) -> str:
    """The run id of this pipeline run, made when its first stage reports."""
    known = _state()
    if known.get("identity") == _identity(params):
        return str(known["run_id"])
    experiment = client.get_experiment_by_name(params.tracking.experiment)
    run_id: str = client.create_run(experiment.experiment_id, run_name="pipeline", tags=tags_of(params)).info.run_id
    write_json(PIPELINE_RUN, {"identity": _identity(params), "run_id": run_id})
    return run_id


def _identity(params: Params) -> list[Any]:
    """What tells this pipeline run from others: its process, and where it is tracked."""
    process = _pipeline_process()
    return [process.pid, process.create_time(), params.tracking.uri, params.tracking.experiment]


def _state() -> dict[str, Any]:
    """What PIPELINE_RUN holds; nothing where it is missing or broken."""
    try:
        state = json.loads(PIPELINE_RUN.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) and isinstance(state.get("run_id"), str) else {}


def _is_there(client: Any, run_id: str) -> bool:
    """Whether MLflow still has a run, and it was not deleted."""
    from mlflow.exceptions import MlflowException

    try:
        return bool(client.get_run(run_id).info.lifecycle_stage == "active")
    except MlflowException:
        return False


def _pipeline_process() -> psutil.Process:
    """The nearest `dvc` above us, else this process."""
    here = psutil.Process()
    for ancestor in here.parents():
        try:
            if any(Path(part).name == "dvc" for part in ancestor.cmdline()[:3]):
                return ancestor
        except psutil.Error:
            break
    return here


def tags_of(params: Params) -> dict[str, str]:
    """Commit, whether the work tree differs from it, and hashes of dvc.lock and of the data; no commit outside git."""
    tags = {"dvc_lock": _hash([DVC_LOCK]), "data_hash": _hash(files_below(Path(params.data.path)))}
    commit = git_output("rev-parse", "HEAD")
    if commit:
        dirty = "true" if git_output("status", "--porcelain", "--untracked-files=no") else "false"
        tags |= {"git_commit": commit, "git_dirty": dirty}
    return tags


def _hash(files: Sequence[Path]) -> str:
    """A hash of the files' bytes; 'none' where there is none."""
    digests = [sha256_file(path) for path in files if path.is_file()]
    return hashlib.sha256("".join(digests).encode()).hexdigest()[:16] if digests else "none"


def numbers(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Every number in nested metrics, as ('evaluate.tuned.loss', 1.2)-like pairs."""
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            yield from numbers(value, f"{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield name, float(value)


def settings_of(params: Params) -> Iterator[tuple[str, Any]]:
    """Every setting as ('train.epochs', 6)-like pairs. None of them is a secret: those stay in the environment."""

    def walk(values: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
        for key, value in values.items():
            if isinstance(value, dict):
                yield from walk(value, f"{prefix}{key}.")
            else:
                yield prefix + key, value

    yield from walk(params.model_dump(), "")
