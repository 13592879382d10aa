"""MLflow: what was run, with which settings, and what came out. Never a reason for a stage to fail."""

import subprocess
from typing import Any

from stages.core.console import warn
from stages.core.params import Params


def track(stage: str, params: Params, metrics: dict[str, Any]) -> None:
    """Record one stage: its parameters and final metrics. A failure is a warning and nothing more."""
    if not params.tracking.enabled:
        return
