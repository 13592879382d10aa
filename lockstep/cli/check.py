"""check: say what is wrong with params.yaml or dvc.lock, or in the way, before anything is run.

`make repro` begins with it, so that a misspelt setting of the last stage is found before the first stage starts.
"""

if __name__ == "__main__" and not __package__:  # run by path, this folder's tokenize.py hides Python's own
    import sys

    sys.stderr.write("error: Run it as `python -m lockstep check` from the project's root.\n")
    sys.exit(2)

from lockstep.core.entry_point import describe
from lockstep.core.errors import run_command


def main() -> None:
    """Check the settings and dvc.lock. Raises LockstepError naming what is wrong, or when another DVC runs here."""
    describe("check", __doc__)
    from lockstep.verify.dvc_running import check_dvc_is_free
    from lockstep.pretrained.hub import check_push, is_folder, resolve_base
    from lockstep.data.sources import sources_of
    from lockstep.verify.dvc_lock_check import check_lock
    from lockstep.core.settings import load_params

    params = load_params()
    check_dvc_is_free()
    check_lock()
    sources_of(params.data)
    if is_folder(params.model.base):
        resolve_base(params.model.base, params.model.revision)
    if params.export.push_to_hub:
        check_push(params.export.hub_repo)


if __name__ == "__main__":
    run_command(main)
