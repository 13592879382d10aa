"""What every stage does before anything heavy is loaded."""

import argparse
import os


def describe(name: str, text: str | None) -> None:
    """Answer --help with the stage's docstring, refuse arguments it does not take, and set how threads wait."""
    parser = argparse.ArgumentParser(
        prog=f"python -m stages.{name}", description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args()
    # OpenMP's threads spin while they wait for each other. On cores that other programs use too, that made training
    # four times slower; sleeping instead costs next to nothing. Read once, when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
