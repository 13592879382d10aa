"""Runs the train stage up to its first optimizer step and ends there: what starting costs, whatever the data's size.

python -m benchmarks.first_step
"""

import os
import sys
from typing import Any

from torch.optim.optimizer import register_optimizer_step_pre_hook


def end(*_: Any) -> None:
    """At the first step: leave at once."""
    sys.stdout.flush()
    os._exit(0)


def main() -> None:
    """Train until the first step."""
    from stages.train import main as train

    register_optimizer_step_pre_hook(end)
    sys.argv[1:] = []
    train()
    sys.exit("no optimizer step was taken")


if __name__ == "__main__":
    main()
