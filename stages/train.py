"""train: base model + rows -> fine-tuned model and learning curves.

Reads data/tokenized and the base; writes models/finetuned, metrics/train.json and metrics/plots. Interrupted, it goes
on from its last checkpoint and ends with the same bytes.
"""

if __name__ == "__main__" and not __package__:  # run by path, this folder's tokenize.py hides Python's own
    import sys

    sys.stderr.write("error: Run it as `python -m stages.train` from the project's root.\n")
    sys.exit(2)

from stages.core.command import describe, run_stage


def main() -> None:
    """Run the stage. Raises LockstepError for what the user can put right."""
    describe("train", __doc__)
    from stages.core.arrow import iterate_rows, read_rows
    from stages.core.checkpoints import StopRequest
    from stages.core.console import say
    from stages.core.curves import write_curves
    from stages.core.files import require_space, whole_folder, write_json
    from stages.core.fit import fit_metrics
    from stages.core.hardware import set_up
    from stages.core.model import build_model, count_parameters, save_model
    from stages.core.params import load_params
    from stages.core.paths import CHECKPOINTS, FINETUNED, SPLITS, TOKENIZED, TOKENIZER, TRAIN_METRICS
    from stages.core.prompt import read_prompt, write_prompt
    from stages.core.rows import audit
    from stages.core.runs import training_run
    from stages.core.tokenizer import load_tokenizer
    from stages.core.tracking import begin, track
    from stages.core.training import DISK_PER_WEIGHT, make_trainer, run

    params = load_params()
    hardware = set_up(params.device, params.seed)
    splits = {split: read_rows(TOKENIZED / split) for split in SPLITS}
    prompt = read_prompt(TOKENIZED, "make tokenize")
    tokenizer = load_tokenizer(TOKENIZER, "data/tokenized")
    model = build_model(params.model, tokenizer)
    audit(iterate_rows(splits["train"]), tokenizer.eos_token_id, prompt.kind)
    parameters = count_parameters(model)
    require_space(CHECKPOINTS, parameters * DISK_PER_WEIGHT)
    say("train", f"{parameters / 1e6:.1f} million weights on {hardware}")
    with training_run([params.train, params.seed, hardware], params.model) as folder, StopRequest() as stop:
        begin("train", params, folder.name)
        trainer = make_trainer(model, splits, params.train, hardware, tokenizer.pad_token_id, params.seed, folder, stop)
        run(trainer)
        with whole_folder(FINETUNED) as out:
            save_model(model, tokenizer, out)
            write_prompt(out, prompt)
    epochs, best = trainer.curves.epochs, trainer.curves.best_epoch
    metrics = fit_metrics(epochs, best, best if params.train.keep == "best" else len(epochs) - 1)
    metrics |= {"parameters": parameters, "tokens": trainer.tokens, "steps": trainer.state.global_step}
    metrics |= {"device": hardware.device, "precision": hardware.precision, "threads": hardware.threads}
    write_json(TRAIN_METRICS, metrics)
    write_curves(trainer.curves)
    track("train", params, metrics, curve=trainer.curves.steps)
    say("train", f"{metrics['verdict']}; the weights of epoch {metrics['kept_epoch']} are kept")


if __name__ == "__main__":
    run_stage(main)
