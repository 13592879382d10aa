"""train: base model + rows -> fine-tuned model and learning curves.

Reads data/tokenized and the base; writes models/finetuned, metrics/train.json, what it ran on in
metrics/provenance.json, and metrics/plots. Interrupted, it goes on from its last checkpoint and ends with the same
bytes.
"""

if __name__ == "__main__" and not __package__:  # run by path, this folder's tokenize.py hides Python's own
    import sys

    sys.stderr.write("error: Run it as `python -m stages.train` from the project's root.\n")
    sys.exit(2)

from stages.core.command import describe, run_stage


def main() -> None:
    """Run the stage. Raises LockstepError for what the user can put right."""
    describe("train", __doc__)
    from stages.core.adapters import add_adapters, merge_adapters
    from stages.core.arrow import read_blocks, read_rows
    from stages.core.checkpoints import StopRequest
    from stages.core.console import say
    from stages.core.curves import write_curves
    from stages.core.files import require_space, whole_folder, write_json
    from stages.core.fit import fit_metrics
    from stages.core.hardware import set_up
    from stages.core.model import build_model, count_parameters, save_model
    from stages.core.params import load_params
    from stages.core.paths import CHECKPOINTS, FINETUNED, PROVENANCE, SPLITS, TOKENIZED, TOKENIZER, TRAIN_METRICS
    from stages.core.prompt import read_prompt, write_prompt
    from stages.core.provenance import provenance
    from stages.core.rows import audit
    from stages.core.runs import training_run
    from stages.core.seals import check_seal, seal
    from stages.core.tokenizer import load_tokenizer
    from stages.core.tracking import begin, track
    from stages.core.training import disk_needed, make_trainer, run
    from stages.core.weights import count_trained

    params = load_params()
    check_seal(TOKENIZED, "tokenize")
    hardware = set_up(params.device, params.seed)
    splits = {split: read_rows(TOKENIZED / split) for split in SPLITS}
    prompt = read_prompt(TOKENIZED, "make tokenize")
    tokenizer = load_tokenizer(TOKENIZER, "data/tokenized")
    model = build_model(params.model, tokenizer)
    made_from = provenance(hardware, params.model)
    parameters = count_parameters(model)
    if params.train.method == "lora":
        model = add_adapters(model, params.train.lora, params.model.base)
    trained = count_trained(model)
    audit(read_blocks(splits["train"]), tokenizer.eos_token_id, prompt.kind)
    require_space(CHECKPOINTS, disk_needed(parameters, trained))
    share = f", {trained / parameters:.2%} of them trained," if trained < parameters else ""
    say("train", f"{parameters / 1e6:.1f} million weights{share} on {hardware}")
    with StopRequest() as stop, training_run([params.train, params.seed, hardware], params.model, stop) as folder:
        begin("train", params, folder.name)
        trainer = make_trainer(model, splits, params.train, hardware, tokenizer.pad_token_id, params.seed, folder, stop)
        run(trainer)
        if params.train.method == "lora":
            model = merge_adapters(model, splits["train"], tokenizer.pad_token_id)
        with whole_folder(FINETUNED) as out:
            save_model(model, tokenizer, out)
            write_prompt(out, prompt)
            seal(out)
        epochs, best = trainer.curves.epochs, trainer.curves.best_epoch
        metrics = fit_metrics(epochs, best, best if params.train.keep == "best" else len(epochs) - 1)
        metrics |= {"parameters": parameters, "trained_parameters": trained, "tokens": trainer.tokens}
        metrics["steps"] = trainer.state.global_step
        metrics |= {"device": hardware.device, "precision": hardware.precision, "threads": hardware.threads}
        write_json(TRAIN_METRICS, metrics)
        write_json(PROVENANCE, made_from)
        write_curves(trainer.curves)
        track("train", params, metrics, curve=trainer.curves.steps)
    say("train", f"{metrics['verdict']}; the weights of epoch {metrics['kept_epoch']} are kept")


if __name__ == "__main__":
    run_stage(main)
