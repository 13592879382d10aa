"""Runs the train stage with its model in shards (FSDP) on CPUs, where Accelerate takes each process for a GPU.

Started by `accelerate launch` with a config file for FSDP. Everything else is as on GPUs: PyTorch's own sharding, over
gloo.
"""

import os
import sys

os.environ["ACCELERATE_TORCH_DEVICE"] = "cpu"

import accelerate.state
from accelerate.utils import DistributedType

import stages.train
from lockstep.core.errors import run_command
from lockstep.modeling import distributed

connect = distributed.connect


def connect_without_gpus(*arguments: object) -> None:
    """Connect the processes as the stage does, which refuses FSDP without GPUs."""
    os.environ["ACCELERATE_USE_FSDP"] = "false"
    connect(*arguments)  # type: ignore[arg-type]
    os.environ["ACCELERATE_USE_FSDP"] = "true"


if __name__ == "__main__":
    sys.argv = ["train"]
    distributed.connect = connect_without_gpus  # type: ignore[assignment]
    accelerate.state.PartialState._prepare_backend = lambda *_, **__: ("gloo", DistributedType.MULTI_GPU)
    run_command(stages.train.main)
