"""base: list the bases of models/bases.yaml, fetch one, or add one of yours.

`make base NAME=mine FROM=...` adds a model folder, a .gguf file or a model of the Hub under a name for model.base.
"""

from lockstep.core.entry_point import command_parser
from lockstep.core.errors import LockstepError, run_command


def main() -> None:
    """List, fetch or add. Raises LockstepError for an unknown name or a source that is no model."""
    parser = command_parser("lockstep base", __doc__)
    parser.add_argument("name", nargs="?", default="", help="the base")
    parser.add_argument("--from", dest="source", default="", metavar="PATH|ID", help="add it from there")
    parser.add_argument("--force", action="store_true", help="fetch it again, or replace another of this name")
    arguments = parser.parse_args()
    from lockstep.core.console import say

    if not arguments.name:
        if arguments.source:
            raise LockstepError("A base needs a name.", f"Run `make base NAME=mine FROM={arguments.source}`.")
        list_bases()
        return
    if arguments.source:
        from lockstep.bases.ensure import size_on_disk
        from lockstep.bases.own import add_base

        add_base(arguments.name, arguments.source, arguments.force)
        say("base", f"{arguments.name}: {size_on_disk(arguments.name)} on disk; set model.base to {arguments.name}")
        return
    from lockstep.bases.ensure import ensure_base

    done = ensure_base(arguments.name, force=arguments.force)
    say("base", done or f"{arguments.name} is here")


def list_bases() -> None:
    """Print every base of the catalogue: name, bytes to download, licence, whether it is here, what it is."""
    from lockstep.bases.catalogue import read_catalogue
    from lockstep.bases.ensure import is_whole, megabytes

    for name, entry in read_catalogue().items():
        here = "here" if is_whole(name, entry) else ""
        print(f"{name:<20}{megabytes(entry.size or 0):>8}  {entry.licence:<12}{here:<6}{entry.about}")


if __name__ == "__main__":
    run_command(main)
