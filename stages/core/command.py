"""What every command does before anything heavy is loaded: --help."""

import argparse


def describe(name: str, text: str | None) -> None:
    """Answer --help with the command's docstring and refuse arguments it does not take."""
    parser = argparse.ArgumentParser(
        prog=f"python -m stages.{name}", description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args()
