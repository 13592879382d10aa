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
    """How threads wait for each other; OpenMP reads it once, when torch is loaded."""
    # OpenMP's threads spin while they wait for each other. On cores that other programs use too, that made training
    # four times slower; sleeping instead costs next to nothing.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
