"""Base and fine-tuned model on the same held-out rows."""

from collections.abc import Iterable

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from stages.core.files import figure
from stages.core.hardware import Hardware
from stages.core.rows import Row
from stages.core.scoring import score_rows


def held_out_figures(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, rows: Iterable[Row], hardware: Hardware
) -> dict[str, float]:
    """Loss (nats per token) and perplexity of the answers; perplexity, and bits per byte, of the whole rows.

    For the whole row the model first sees an end-of-text, so that the first token counts too; the bytes are those of
    the row's text in UTF-8. Raises LockstepError when there is nothing to score.
    """
    rows = list(rows)
    end = tokenizer.eos_token_id
    answers = [{"input_ids": row.ids, "target_start": row.answer_start} for row in rows]
    whole = [{"input_ids": [end, *row.ids], "target_start": 1} for row in rows]
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if context is not None:
        whole = [{**row, "input_ids": row["input_ids"][:context]} for row in whole]
    answer = score_rows(model, answers, hardware, end)
    text = score_rows(model, whole, hardware, end)
    # Ends of text are control, not bytes of the user's text; their cost is counted all the same.
    size = sum(len(tokenizer.decode([i for i in row["input_ids"] if i != end]).encode()) for row in whole)
    return {
        "loss": figure(answer.loss),
        "perplexity": figure(answer.perplexity),
        "accuracy": figure(answer.accuracy),
        "text_perplexity": figure(text.perplexity),
        "bits_per_byte": figure(text.bits_per_byte(size)),
    }


def differences(base: dict[str, float], tuned: dict[str, float]) -> dict[str, float]:
    """tuned - base for each figure, and by which share the answers' perplexity fell."""
    change = {name: figure(tuned[name] - base[name]) for name in base}
    change["perplexity_improvement"] = figure(1 - tuned["perplexity"] / base["perplexity"])
    return change


def samples_markdown(samples: list[dict[str, str]], kind: str) -> str:
    """Answers beside references, for people. samples: question, reference, base, tuned."""
    first = "Question" if kind == "qa" else "Beginning"
    lines = ["# Sample answers on held-out rows", ""]
    for number, sample in enumerate(samples, start=1):
        lines += [f"## {number}. {_one_line(sample['question'])}", ""]
        for name, key in (("Reference", "reference"), ("Base", "base"), ("Fine-tuned", "tuned")):
            lines += [f"**{name}:** {_one_line(sample[key]) or '*(nothing)*'}", ""]
    if not samples:
        lines += [f"No {first.lower()} was asked for: evaluate.samples is 0.", ""]
    return "\n".join(lines)


def _one_line(text: str) -> str:
    """Text of a user or model as one line that Markdown shows as it is."""
    for character in "\\`*_[]<>#|":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())


def text_sample(text: str, words: int = 12) -> tuple[str, str]:
    """The first words of a text and as much again, as something to continue and what really followed."""
    parts = text.split()
    return " ".join(parts[:words]), " ".join(parts[words : words * 4])


