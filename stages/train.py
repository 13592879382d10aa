"""train: base model + rows -> fine-tuned model and learning curves.

Reads data/tokenized and the base; writes models/finetuned, metrics/train.json and metrics/plots. After an interruption
it resumes from its last checkpoint and ends with the same bytes.
"""

if not __package__:
    import run_by_path  # noqa: F401  (it ends the program)

from typing import TYPE_CHECKING, Any

from lockstep.core.entry_point import parse_no_arguments, run_stage

if TYPE_CHECKING:
    from lockstep.artifacts.prompt import Prompt
    from lockstep.core.settings import Params
    from lockstep.core.stage_deps import Inputs
    from lockstep.training.learning_curves import Curves


def main() -> None:
    """Run the stage. Raises LockstepError for mistakes that the user can correct."""
    parse_no_arguments("train", __doc__)
    from lockstep.core.settings import load_params
    from lockstep.core.stage_deps import Inputs
    from lockstep.modeling.launch import as_worker, launch, processes_to_launch

    inputs = Inputs.of("train")
    params = load_params()
    count = processes_to_launch(params.train.num_processes, params.train.accelerate_config, params.device)
    if count is not None:  # each of them runs this main() again, and trains
        remedy = "Run again: it goes on from the last checkpoint."
        launch("train", count, params.train.accelerate_config, remedy)
        return
    with as_worker():
        train(params, inputs)


def train(params: "Params", inputs: "Inputs") -> None:
    """Train, alone or as one of several processes, of which the first writes the results.

    inputs: the state of the stage's inputs when it began. Raises LockstepError if they have changed by the end of
    training; the checkpoints still exist then, so once the inputs are put back training resumes from the last.
    """
    from lockstep.artifacts.prompt import read_prompt
    from lockstep.artifacts.row_store import read_rows, stored_blocks
    from lockstep.artifacts.rows import audit
    from lockstep.core.atomic_files import require_space
    from lockstep.core.checksums import check_manifest
    from lockstep.core.console import say
    from lockstep.core.paths import CHECKPOINTS, SPLITS, TOKENIZED, TOKENIZER
    from lockstep.core.tracking import begin
    from lockstep.modeling.device import set_up
    from lockstep.modeling.distributed import connect, current_group, disconnect
    from lockstep.modeling.launch import read_config
    from lockstep.modeling.stopping import StopRequest
    from lockstep.pretrained.tokenizer import load_tokenizer
    from lockstep.training.auto_settings import choice_of, choose_settings
    from lockstep.training.environment import training_environment
    from lockstep.training.results import training_metrics
    from lockstep.training.runs import training_run
    from lockstep.training.trainable_weights import ModelSize
    from lockstep.training.trainer import TrainingSetup, disk_needed, finished_model, make_trainer, run

    check_manifest(TOKENIZED, "tokenize")
    processes = current_group(params.train.num_processes)
    hardware = set_up(params.device, params.seed, processes)
    connect(processes, hardware.device)
    splits = {split: read_rows(TOKENIZED / split) for split in SPLITS}
    prompt = read_prompt(TOKENIZED, "make tokenize")
    tokenizer = load_tokenizer(TOKENIZER, "data/tokenized")
    model = model_to_train(params, tokenizer)
    size = ModelSize.of(model, params.train.method)
    environment = training_environment(hardware, params.model)
    if processes.is_main:
        audit(stored_blocks(TOKENIZED / "train"), tokenizer.eos_token_id, prompt.kind)
        require_space(CHECKPOINTS, disk_needed(size))
    tokens = sum(int(block.lengths.sum()) for block in stored_blocks(TOKENIZED / "train"))
    settings = choose_settings(params.train, prompt, size.parameters, len(splits["train"]), tokens)
    say("train", f"{size} on {hardware}; {choice_of(settings)}")
    run_identity = [settings, read_config(params.train.accelerate_config), params.seed, hardware, environment]
    with StopRequest() as stop, training_run(run_identity, params.model, stop, processes) as folder:
        if processes.is_main:
            begin("train", params, folder.name)
        setup = TrainingSetup(settings, hardware, tokenizer.pad_token_id, params.seed, folder, processes)
        trainer = make_trainer(model, splits, setup, stop)
        run(trainer)
        inputs.require_unchanged()
        finished = finished_model(trainer, lambda: model_to_train(params, tokenizer))
        if finished is not None:
            write_model(finished, tokenizer, prompt)
            curves, steps = trainer.run_state.curves, trainer.state.global_step
            metrics = training_metrics(curves, settings, size, steps, hardware)
            write_results(params, metrics, curves, environment)
    disconnect()


def model_to_train(params: "Params", tokenizer: Any) -> Any:
    """The base model, with adapters if train.method is lora."""
    from lockstep.modeling.model import build_model
    from lockstep.training.lora import add_adapters

    model = build_model(params.model, tokenizer)
    return add_adapters(model, params.train.lora, params.model.base) if params.train.method == "lora" else model


def write_model(model: Any, tokenizer: Any, prompt: "Prompt") -> None:
    """Write models/finetuned: the model, its tokenizer and prompt, and the manifest."""
    from lockstep.artifacts.lookup import copy_lookup
    from lockstep.artifacts.prompt import write_prompt
    from lockstep.core.atomic_files import whole_folder
    from lockstep.core.checksums import write_manifest
    from lockstep.core.paths import FINETUNED, TOKENIZED
    from lockstep.modeling.model import save_model

    with whole_folder(FINETUNED) as folder:
        save_model(model, tokenizer, folder)
        write_prompt(folder, prompt)
        copy_lookup(TOKENIZED, folder)
        write_manifest(folder)


def write_results(params: "Params", metrics: dict[str, Any], curves: "Curves", environment: dict[str, Any]) -> None:
    """Write the metrics, the provenance and the learning curves, log them to the tracker, and print the verdict.

    environment: see training_environment.
    """
    from lockstep.core.atomic_files import write_json
    from lockstep.core.console import say
    from lockstep.core.paths import TOKENIZED, TRAIN_METRICS
    from lockstep.core.provenance import folder_files, stage_provenance, write_provenance
    from lockstep.core.tracking import track
    from lockstep.training.learning_curves import write_curves

    write_json(TRAIN_METRICS, metrics)
    write_provenance("train", stage_provenance("train", folder_files(TOKENIZED), **environment))
    write_curves(curves)
    track("train", params, metrics, curve=curves.steps)
    say("train", f"{metrics['verdict']}; the weights of epoch {metrics['kept_epoch']} are kept")


if __name__ == "__main__":
    run_stage("train", main)
