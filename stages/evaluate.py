"""evaluate: the base and the fine-tuned model on the same test rows.

Reads the test split, the base and models/finetuned; writes metrics/evaluate.json and metrics/samples.md.
"""

if __name__ == "__main__" and not __package__:  # run by path, this folder's tokenize.py hides Python's own
    import sys

    sys.stderr.write("error: Run it as `python -m stages.evaluate` from the project's root.\n")
    sys.exit(2)

from stages.core.command import describe
from stages.core.errors import run_command


def main() -> None:
    """Run the stage. Raises LockstepError for what the user can put right."""
    describe("evaluate", __doc__)
    from stages.core.arrow import iterate_rows, read_rows
    from stages.core.console import say
    from stages.core.evaluation import differences, held_out_figures, samples_markdown
    from stages.core.files import write_json, write_text
    from stages.core.hardware import set_up
    from stages.core.model import build_model, load_model
    from stages.core.params import load_params
    from stages.core.paths import EVALUATE_METRICS, FINETUNED, SAMPLES, TOKENIZED, prepared_split
    from stages.core.prompt import read_prompt
    from stages.core.records import read_records
    from stages.core.samples import sample_answers
    from stages.core.tokenizer import load_tokenizer
    from stages.core.tracking import track

    params = load_params()
    hardware = set_up(params.device, params.seed)
    prompt = read_prompt(FINETUNED, "make train")
    tokenizer = load_tokenizer(FINETUNED, "models/finetuned")
    rows = list(iterate_rows(read_rows(TOKENIZED / "test")))
    models = {
        "base": build_model(params.model, tokenizer).to(hardware.device),
        "tuned": load_model(FINETUNED, "models/finetuned").to(hardware.device),
    }
    figures = {name: held_out_figures(model, tokenizer, rows, hardware) for name, model in models.items()}
    records = read_records(prepared_split("test"))[: params.evaluate.samples]
    samples = sample_answers(models, tokenizer, prompt, records, params.generation)
    metrics = {"test_rows": len(rows), **figures, "change": differences(figures["base"], figures["tuned"])}
    write_json(EVALUATE_METRICS, metrics)
    write_text(SAMPLES, samples_markdown(samples, prompt.kind))
    track("evaluate", params, metrics, artifacts=[SAMPLES])
    before, after = figures["base"]["perplexity"], figures["tuned"]["perplexity"]
    say("evaluate", f"perplexity of {len(rows):,} held-out rows: {before:.2f} before, {after:.2f} after training")


if __name__ == "__main__":
    run_command(main)
