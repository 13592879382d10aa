"""check: say what is wrong with params.yaml or dvc.lock, or in the way, before anything is run.

`make repro` begins with it, so that a misspelt setting of the last stage is found before the first stage starts.
"""

if __name__ == "__main__" and not __package__:  # run by path, this folder's tokenize.py hides Python's own
    import sys

    sys.stderr.write("error: Run it as `python -m stages.check` from the project's root.\n")
    sys.exit(2)

from stages.core.command import describe
from stages.core.errors import run_command


def main() -> None:
    """Check the settings and dvc.lock. Raises LockstepError naming what is wrong, or when another DVC runs here."""
    describe("check", __doc__)
    from stages.core.dvc_processes import check_dvc_is_free
    from stages.core.hub import check_push, is_folder, resolve_base
    from stages.core.inputs import sources_of
    from stages.core.lock_damage import check_lock
    from stages.core.params import load_params

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
