"""metrics/samples.md: how many questions of each kind are answered right, and the first answers of each."""

from collections.abc import Sequence
from typing import Any

from lockstep.evaluation.question_kinds import HEADINGS, KINDS, shown_of_each_kind
from lockstep.evaluation.right_answers import is_right
from lockstep.evaluation.shown_answers import cut_repetition
from lockstep.evaluation.verdict import number, right_rule, signed_interval

COLUMNS = ("questions", "asked", "base right", "fine-tuned right", "nearest question right", "F1", "against nearest")


def samples_markdown(lines: Sequence[dict[str, Any]], metrics: dict[str, Any], count: int) -> str:
    """A Markdown page: a table of the kinds of questions, then answers side by side, `count` of each kind.

    lines: of metrics/answers.jsonl. metrics: those of metrics/evaluate.json. For texts the answers only.
    """
    is_qa = metrics["kind"] == "qa"
    page = ["# Sample answers" if is_qa else "# Sample answers on held-out rows", ""]
    page += _table(metrics) if metrics.get("questions") else []
    shown = shown_of_each_kind(lines, count)
    for kind, samples in shown.items():
        page += [f"## {HEADINGS[kind]}", ""] if is_qa else []
        for place, sample in enumerate(samples, start=1):
            page += _sample(sample, place, is_qa)
    if not shown:
        page += [f"No {'question' if is_qa else 'beginning'} was asked for: evaluate.show is 0.", ""]
    return "\n".join(page)


def _table(metrics: dict[str, Any]) -> list[str]:
    """The table of the kinds with a sentence on each, and the rule by which an answer is right."""
    page = [f"| {' | '.join(COLUMNS)} |", f"|---|{'---:|' * (len(COLUMNS) - 1)}"]
    for kind, figures in metrics["questions"].items():
        right = [f"{figures[name]['right']:,}" for name in ("base", "tuned", "retrieval")]
        cells = [kind, f"{figures['count']:,}", *right, number(figures["tuned"]["f1"])]
        page.append(f"| {' | '.join([*cells, signed_interval(figures['vs_retrieval'])])} |")
    page += ["", *[f"- **{kind}**: {KINDS[kind]}" for kind in metrics["questions"]], ""]
    page += [
        f"Right: {right_rule(metrics)}. F1 is the share of words that an answer has in common with yours, from 0 to 1; "
        "nearest question is the answer of the training question most like the one asked, which for a known question "
        "is the row itself. The last column is the difference in F1 and its 95% interval; "
        "[docs/evaluation.md](../docs/evaluation.md) explains it.",
        "",
    ]
    return page


def _sample(sample: dict[str, Any], place: int, is_qa: bool) -> list[str]:
    """One question with the answers to it."""
    page = [f"{'###' if is_qa else '##'} {place}. {markdown_line(sample['question'])}", ""]
    for name, key in (("Reference", "reference"), ("Base", "base"), ("Fine-tuned", "tuned")):
        mark = ""
        if is_qa and key != "reference":
            mark = " (right)" if is_right(sample[key], sample["reference"]) else " (not right)"
        text = sample[key] if key == "reference" else cut_repetition(sample[key])
        page += [f"**{name}{mark}:** {markdown_line(text) or '*(nothing)*'}", ""]
    return page


def markdown_line(text: str) -> str:
    """A text of a user or a model as one line, escaped so that Markdown shows it unchanged."""
    for character in "\\`*_[]<>#|~":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())
