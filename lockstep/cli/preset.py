"""preset: merge presets/NAME.yaml into params.yaml, keeping its comments.

`git diff params.yaml` then shows exactly what the recipe changes. Without a name the presets are listed.
"""

from lockstep.core.entry_point import command_parser
from lockstep.core.errors import run_command


def main() -> None:
    """List or merge a preset. Raises LockstepError for an unknown name or settings that are not valid."""
    parser = command_parser("lockstep preset", __doc__)
    parser.add_argument("name", nargs="?", default="", help="a file of presets/, without .yaml")
    name = parser.parse_args().name
    from lockstep.core.console import say
    from lockstep.core.paths import PARAMS
    from lockstep.review.presets import merge_preset, preset_names

    if not name:
        for preset, comment in preset_names().items():
            print(f"make preset NAME={preset:<26}{comment}")
        return
    changed = merge_preset(name, PARAMS)
    say("preset", f"{name}: {len(changed)} settings of params.yaml changed; `git diff params.yaml` shows them")


if __name__ == "__main__":
    run_command(main)
