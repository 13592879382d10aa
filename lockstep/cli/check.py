"""check: check params.yaml, its data and dvc.lock before anything runs.

`make repro` begins with it, so that a misspelt setting of the last stage is found before the first stage starts.
"""

from lockstep.core.entry_point import command_parser
from lockstep.core.errors import run_command


def main() -> None:
    """Check settings, inputs and dvc.lock. Raises LockstepError if one is wrong or another DVC runs here."""
    command_parser("lockstep check", __doc__).parse_args()
    from lockstep.bases.catalogue import resolve
    from lockstep.core.settings import load_params
    from lockstep.data.sources import sources_of
    from lockstep.pretrained.base import is_pretrained
    from lockstep.pretrained.hub import check_push
    from lockstep.review.gates import refuse_old_names
    from lockstep.verify.dvc_lock_check import check_lock
    from lockstep.verify.dvc_running import check_dvc_is_free

    params = load_params()
    refuse_old_names(params.gates)
    check_dvc_is_free()
    check_lock()
    sources_of(params.data)
    if is_pretrained(params.model.base):
        resolve(params.model.base, params.model.revision)
    if params.export.push_to_hub:
        check_push(params.export.hub_repo)


if __name__ == "__main__":
    run_command(main)
