"""What every stage does before anything heavy is loaded."""

import argparse
import os


def describe(name: str, text: str | None) -> None:
    """Answer --help with the stage's docstring, refuse arguments it does not take, and set the environment."""
    parser = argparse.ArgumentParser(
        prog=f"python -m stages.{name}", description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args()
    set_environment()


def set_environment() -> None:
    """How torch waits and takes memory; it reads both once, when it is loaded."""
    # OpenMP's threads spin while they wait for each other. On cores that other programs use too, that made training
    # four times slower; sleeping instead costs next to nothing.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # Tensors of many megabytes are made anew in each step; in large pages the kernel hands them out 500 times faster.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
