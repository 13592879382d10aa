"""MLflow: what was run, with which settings, and what came out. Never a reason for a stage to fail.

One parent run per pipeline run (the `dvc` process that started the stage, or the stage itself when started by hand),
one child run per stage.
"""

import json
import logging
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from stages.core.console import warn
from stages.core.files import write_json
from stages.core.params import Params
from stages.core.paths import CHECKPOINTS

PIPELINE_RUN = CHECKPOINTS / "pipeline_run.json"


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
    if not params.tracking.enabled:
        return
    try:
        _record(stage, params, metrics, curve, artifacts)
    except Exception as error:  # by design: a broken tracker must not cost a trained model
        reason = (str(error).strip().splitlines() or [""])[0]
        warn(f"MLflow did not take this run ({type(error).__name__}: {reason}); the pipeline goes on")


def _record(
    stage: str,
    params: Params,
    metrics: dict[str, Any],
    curve: Sequence[dict[str, float]],
    artifacts: Sequence[Path],
) -> None:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow
    from mlflow.entities import Metric

    for name in ("mlflow", "alembic"):  # mlflow sets its own levels when it is imported
        logging.getLogger(name).setLevel(logging.ERROR)

    mlflow.set_tracking_uri(params.tracking.uri)
    mlflow.set_experiment(params.tracking.experiment)
    client = mlflow.MlflowClient()
    parent = _parent_run(client, params)
    tags = {"mlflow.parentRunId": parent, "stage": stage, **git_tags()}
    child = client.create_run(client.get_run(parent).info.experiment_id, run_name=stage, tags=tags).info.run_id
    now = client.get_run(child).info.start_time
    points = [Metric(key, value, now, 0) for key, value in numbers(metrics)]
    for point in curve:
        step = int(point["step"])
        points += [Metric(key, float(value), now, step) for key, value in point.items() if key != "step"]
    settings = [mlflow.entities.Param(key, str(value)) for key, value in settings_of(params)]
    for start in range(0, max(len(points), 1), 1000):  # MLflow takes 1000 metrics a call
        client.log_batch(child, metrics=points[start : start + 1000], params=settings if start == 0 else [])
    for artifact in artifacts:
        client.log_artifact(child, str(artifact))
    client.set_terminated(child)
    client.set_terminated(parent)


def _parent_run(client: Any, params: Params) -> str:
    """The run id of this pipeline run, made when its first stage reports."""
    process = _pipeline_process()
    identity = [process.pid, process.create_time(), params.tracking.uri, params.tracking.experiment]
    try:
        known = json.loads(PIPELINE_RUN.read_text(encoding="utf-8"))
        if known["identity"] == identity:
            return str(known["run_id"])
    except (OSError, ValueError, KeyError):
        pass
    experiment = client.get_experiment_by_name(params.tracking.experiment)
    run_id: str = client.create_run(experiment.experiment_id, run_name="pipeline", tags=git_tags()).info.run_id
    write_json(PIPELINE_RUN, {"identity": identity, "run_id": run_id})
    return run_id


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


def git_tags() -> dict[str, str]:
    """Commit, whether the work tree differs from it, and the hash of dvc.lock in it; empty outside git."""
    commit = _git("rev-parse", "HEAD")
    if not commit:
        return {}
    dirty = "true" if _git("status", "--porcelain", "--untracked-files=no") else "false"
    return {"git_commit": commit, "git_dirty": dirty, "dvc_lock": _git("rev-parse", "HEAD:dvc.lock") or "none"}


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


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
