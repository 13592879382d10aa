"""evaluate: the base and the fine-tuned model on the same test rows and the same known, reworded and new questions.

Reads the splits, the base and models/finetuned; writes metrics/evaluate.json, answers.jsonl and samples.md, and the
curves and charts in metrics/plots. As many processes as train together on this machine share the work.
"""

if not __package__:
    import run_by_path  # noqa: F401  (it ends the program)

from typing import TYPE_CHECKING

from lockstep.core.entry_point import parse_no_arguments, run_stage

if TYPE_CHECKING:
    from lockstep.core.settings import Params


def main() -> None:
    """Run the stage. Raises LockstepError for a problem that the user can fix."""
    parse_no_arguments("evaluate", __doc__)
    from lockstep.core.settings import load_params
    from lockstep.modeling.launch import as_worker, launch, processes_on_this_machine

    params = load_params()
    count = processes_on_this_machine(params.train.num_processes, params.train.accelerate_config, params.device)
    if count is not None:  # each process runs this stage again, and has no processes to launch
        launch("evaluate", count, None, "Run again.")
        return
    with as_worker():
        evaluate(params)


def evaluate(params: "Params") -> None:
    """Evaluate both models, alone or as one of several processes. The first process writes the results."""
    from functools import partial

    from lockstep.artifacts.lookup import read_lookup
    from lockstep.artifacts.prompt import read_prompt
    from lockstep.core.checksums import check_manifest
    from lockstep.core.console import say
    from lockstep.core.paths import FINETUNED, PREPARED, SAMPLES, TOKENIZED
    from lockstep.core.provenance import folder_files, stage_provenance, write_provenance
    from lockstep.core.tracking import track
    from lockstep.evaluation.answers import generate_answers
    from lockstep.evaluation.held_out import read_held_out
    from lockstep.evaluation.results import answer_lines, evaluation_metrics, with_retrieval, write_evidence
    from lockstep.evaluation.score_models import score_model
    from lockstep.evaluation.verdict import caveats, evidence, verdict
    from lockstep.modeling.device import set_up
    from lockstep.modeling.distributed import connect, current_group, disconnect
    from lockstep.modeling.model import build_model, load_model
    from lockstep.pretrained.tokenizer import load_tokenizer

    for folder, stage in ((FINETUNED, "train"), (TOKENIZED, "tokenize"), (PREPARED, "prepare")):
        check_manifest(folder, stage)
    processes = current_group("auto")
    hardware = set_up(params.device, params.seed, processes)
    connect(processes, hardware.device)
    prompt = read_prompt(FINETUNED, "make train")
    tokenizer = load_tokenizer(FINETUNED, "models/finetuned")
    held_out = read_held_out(prompt, tokenizer, params.evaluate, processes)
    loaders = {
        "base": lambda: build_model(params.model, tokenizer),
        "tuned": lambda: load_model(FINETUNED, "models/finetuned"),
    }
    lookup = read_lookup(FINETUNED, prompt.lookup, "make train")
    scores, answers = {}, {}
    for name, load in loaders.items():  # one after the other: only one model is in memory at a time
        model = load().to(hardware.device)  # type: ignore[arg-type]
        rows = held_out.rows, held_out.plain_rows, held_out.train_rows
        scores[name] = score_model(model, tokenizer, *rows, hardware, held_out.kind, name, processes)
        ask = partial(generate_answers, model, tokenizer, prompt, held_out.questions, params.generation, processes)
        answers[name] = ask(lookup if name == "tuned" else None)  # the base was never shown how to use it
        if name == "tuned" and lookup is not None:
            answers["alone"] = ask(None)
    disconnect()
    if not processes.is_main:
        return
    answered = with_retrieval(held_out, answers)
    metrics = evaluation_metrics(held_out, scores, answered, params.evaluate, params.seed)
    lines = answer_lines(held_out.kind, answered)
    write_evidence(metrics, lines, scores, held_out.kind, params.evaluate.show)
    # Any number of processes writes the same figures.
    without = ("train.num_processes", "train.accelerate_config")
    write_provenance("evaluate", stage_provenance("evaluate", folder_files(FINETUNED), without))
    track("evaluate", params, metrics, artifacts=[SAMPLES])
    for text in [*evidence(metrics), *caveats(metrics), verdict(metrics)]:
        say("evaluate", text)


if __name__ == "__main__":
    run_stage("evaluate", main)
