"""The train stage with FSDP on CPUs, which Accelerate refuses unless it takes the processes for GPU processes.

Started by `accelerate launch` with a config file whose distributed_type is FSDP. The sharding is PyTorch's, over gloo.
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
    os.environ["ACCELERATE_USE_FSDP"] = "false"  # connect refuses FSDP on a CPU
    connect(*arguments)  # type: ignore[arg-type]
    os.environ["ACCELERATE_USE_FSDP"] = "true"


if __name__ == "__main__":
    sys.argv = ["train"]
    distributed.connect = connect_without_gpus  # type: ignore[assignment]
    accelerate.state.PartialState._prepare_backend = lambda *_, **__: ("gloo", DistributedType.MULTI_GPU)
    run_command(stages.train.main)
