"""train: base model + rows -> fine-tuned model and learning curves.

Reads data/tokenized and the base; writes models/finetuned, metrics/train.json, what it ran on in
metrics/provenance.json, and metrics/plots. Interrupted, it goes on from its last checkpoint and ends with the same
bytes.
"""

if __name__ == "__main__" and not __package__:  # run by path, this folder's tokenize.py hides Python's own
    import sys

    sys.stderr.write("error: Run it as `python -m stages.train` from the project's root.\n")
    sys.exit(2)

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from stages.core.command import describe, run_stage

if TYPE_CHECKING:
    from stages.core.params import Params
    from stages.core.stage_inputs import Inputs


def main() -> None:
    """Run the stage. Raises LockstepError for what the user can put right."""
    describe("train", __doc__)
    from stages.core.launch import launch, launched, processes_to_launch
    from stages.core.params import load_params
    from stages.core.stage_inputs import Inputs

    inputs = Inputs.of("train")
    params = load_params()
    count = processes_to_launch(params.train.processes, params.train.accelerate_config, params.device)
    if count is not None:  # each of them comes here again, and trains
        remedy = "Run again: it goes on from the last checkpoint."
        launch("train", count, params.train.accelerate_config, remedy)
        return
    with launched():
        train(params, inputs)


def train(params: "Params", inputs: "Inputs") -> None:
    """Train, alone or as one of the processes that do it together, of which the first writes what comes of it.

    inputs: as they were when the stage began. Where they changed since, LockstepError is raised while the checkpoints
    are still there: put back as they were, training goes on from the last.
    """
    from stages.core.arrow import read_rows, stored_blocks
    from stages.core.checkpoints import StopRequest
    from stages.core.console import say
    from stages.core.files import require_space
    from stages.core.hardware import set_up
    from stages.core.launch import read_config
    from stages.core.model import count_parameters
    from stages.core.paths import CHECKPOINTS, SPLITS, TOKENIZED, TOKENIZER
    from stages.core.processes import connect, disconnect, started
    from stages.core.prompt import read_prompt
    from stages.core.provenance import provenance
    from stages.core.rows import audit
    from stages.core.runs import training_run
    from stages.core.seals import check_seal
    from stages.core.tokenizer import load_tokenizer
    from stages.core.tracking import begin
    from stages.core.training import disk_needed, finished_model, make_trainer, run
    from stages.core.weights import count_trained

    check_seal(TOKENIZED, "tokenize")
    processes = started(params.train.processes)
    hardware = set_up(params.device, params.seed, processes)
    connect(processes, hardware.device)
    splits = {split: read_rows(TOKENIZED / split) for split in SPLITS}
    prompt = read_prompt(TOKENIZED, "make tokenize")
    tokenizer = load_tokenizer(TOKENIZER, "data/tokenized")
    model = model_to_train(params, tokenizer)
    made_from = provenance(hardware, params.model)
    trained = count_trained(model)
    weights = count_parameters(model) - (trained if params.train.method == "lora" else 0)  # of the model that comes out
    if processes.first:
        audit(stored_blocks(TOKENIZED / "train"), tokenizer.eos_token_id, prompt.kind)
        require_space(CHECKPOINTS, disk_needed(weights, trained))
    share = f", {trained / weights:.2%} of them trained," if trained < weights else ""
    say("train", f"{weights / 1e6:.1f} million weights{share} on {hardware}")
    decided = [params.train, read_config(params.train.accelerate_config), params.seed, hardware, made_from]
    with StopRequest() as stop, training_run(decided, params.model, stop, processes) as folder:
        if processes.first:
            begin("train", params, folder.name)
        pad_id = tokenizer.pad_token_id
        trainer = make_trainer(model, splits, params.train, hardware, pad_id, params.seed, folder, stop, processes)
        run(trainer)
        inputs.require_unchanged()
        finished = finished_model(trainer, lambda: model_to_train(params, tokenizer))
        if finished is not None:
            sizes = {"parameters": weights, "trained_parameters": trained}
            write(params, trainer, finished, tokenizer, prompt, sizes, made_from)
    disconnect()


def model_to_train(params: "Params", tokenizer: Any) -> Any:
    """The base, with LoRA's matrices where they are asked for."""
    from stages.core.adapters import add_adapters
    from stages.core.model import build_model

    model = build_model(params.model, tokenizer)
    return add_adapters(model, params.train.lora, params.model.base) if params.train.method == "lora" else model


def write(
    params: "Params",
    trainer: Any,
    model: Any,
    tokenizer: Any,
    prompt: Any,
    sizes: dict[str, int],
    made_from: dict[str, Any],
) -> None:
    """Write the model, the figures and the curves. sizes: numbers of weights, for the figures. made_from: see
    provenance."""
    from stages.core.adapters import merge_adapters
    from stages.core.console import say
    from stages.core.curves import write_curves
    from stages.core.files import whole_folder, write_json
    from stages.core.fit import fit_metrics
    from stages.core.model import save_model
    from stages.core.paths import FINETUNED, PROVENANCE, TRAIN_METRICS
    from stages.core.prompt import write_prompt
    from stages.core.seals import seal
    from stages.core.tracking import track

    if params.train.method == "lora":
        model = merge_adapters(model, trainer.train_dataset, tokenizer.pad_token_id)
    with whole_folder(FINETUNED) as out:
        save_model(model, tokenizer, out)
        write_prompt(out, prompt)
        seal(out)
    epochs, best = trainer.curves.epochs, trainer.curves.best_epoch
    metrics = fit_metrics(epochs, best, best if params.train.keep == "best" else len(epochs) - 1)
    metrics |= sizes | {"tokens": int(epochs[-1]["tokens"]), "steps": trainer.state.global_step}
    metrics |= asdict(trainer.hardware)
    write_json(TRAIN_METRICS, metrics)
    write_json(PROVENANCE, made_from)
    write_curves(trainer.curves)
    track("train", params, metrics, curve=trainer.curves.steps)
    say("train", f"{metrics['verdict']}; the weights of epoch {metrics['kept_epoch']} are kept")


if __name__ == "__main__":
    run_stage("train", main)
