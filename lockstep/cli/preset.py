"""preset: merge presets/NAME.yaml into params.yaml, keeping its comments.

`git diff params.yaml` then shows exactly what the recipe changes. Without a name the presets are listed.
"""

if __name__ == "__main__" and not __package__:  # run by path, this folder's tokenize.py hides Python's own
    import sys

    sys.stderr.write("error: Run it as `python -m lockstep preset NAME` from the project's root.\n")
    sys.exit(2)

import argparse

from lockstep.core.errors import run_command


def main() -> None:
    """Merge a preset. Raises LockstepError for an unknown name or settings that don't fit."""
    parser = argparse.ArgumentParser(
        prog="python -m lockstep preset", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", nargs="?", default="", help="a file of presets/, without .yaml")
    name = parser.parse_args().name
    from lockstep.core.console import say
    from lockstep.core.paths import PARAMS
    from lockstep.review.presets import merge_preset, preset_names

    if not name:
        for known, about in preset_names().items():
            print(f"make preset NAME={known:<26}{about}")
        return
    changed = merge_preset(name, PARAMS)
    say("preset", f"{name}: {len(changed)} settings of params.yaml changed; `git diff params.yaml` shows them")


if __name__ == "__main__":
    run_command(main)
