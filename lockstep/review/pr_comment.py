"""A comparison of two revisions as Markdown, for a pull request or a job summary."""

from pathlib import Path
from typing import Any

from lockstep.evaluation.question_kinds import KINDS
from lockstep.evaluation.shown_answers import cut_repetition
from lockstep.evaluation.verdict import caveats, evidence, number, right_rule, signed_percent, verdict
from lockstep.export.templating import environment
from lockstep.review.compare import Change, Comparison, changes, fixed_questions, is_number, without_derived
from lockstep.review.gates import GateResult, failed

TEMPLATES = Path(__file__).parent / "templates"
MARK = "<!-- lockstep comparison -->"  # by which a later run finds the comment to replace
ZERO_WIDTH_SPACE = "\u200b"
MAX_CHARS = 400  # of a text of a user or model; GitHub accepts 65,536 characters in a comment
MAX_FIGURES = 60  # most changed figures listed
FIRST_FIGURES = ("evaluate.tuned.perplexity", "evaluate.tuned.loss", "evaluate.tuned.f1", "evaluate.tuned.eos_rate")


def comment(comparison: Comparison, gates: list[GateResult], evaluation: dict[str, Any]) -> str:
    """The comparison as Markdown with MARK first. evaluation: the work tree's metrics/evaluate.json."""
    before, now = comparison.before, comparison.now
    # Markdown is not escaped: every text of a user passes through `cell` or `plain`.
    templates = environment(TEMPLATES, autoescape=False, cell=cell, plain=plain, value=format_value, delta=delta)
    templates.filters["shown"] = cut_repetition
    metrics = without_derived(changes(before.metrics, now.metrics))
    metrics.sort(key=lambda change: change.name not in FIRST_FIGURES)
    return templates.get_template("comment.md.j2").render(
        mark=MARK,
        name=comparison.name,
        verdict=verdict(evaluation),
        caveats=caveats(evaluation),
        evidence=evidence(evaluation),
        right_rule=right_rule(evaluation) if evaluation.get("questions") else "",
        kinds=right_by_kind(comparison),
        leakage=evaluation["leakage"],
        compared=before.is_evaluated,
        gates=gates,
        broken=failed(gates),
        metrics=metrics[:MAX_FIGURES],
        left_out=max(0, len(metrics) - MAX_FIGURES),
        params=changes(before.params, now.params),
        questions=fixed_questions(before, now),
    )


def right_by_kind(comparison: Comparison) -> list[dict[str, str]]:
    """Of each kind of question that was asked, how many are answered right, as 'right of asked'.

    By the base, by looking up the nearest question (retrieval), and by the fine-tuned model before and now (tuned).
    """
    rows = []
    for kind in KINDS:
        key = f"evaluate.questions.{kind}."
        before, now = (
            {name.removeprefix(key): value for name, value in snapshot.metrics.items() if name.startswith(key)}
            for snapshot in (comparison.before, comparison.now)
        )
        if now:
            row = {name: f"{now[f'{name}.right']:,} of {now['count']:,}" for name in ("base", "retrieval", "tuned")}
            earlier = f"{before['tuned.right']:,} of {before['count']:,}" if before else "–"
            rows.append(row | {"kind": kind, "before": earlier})
    return rows


def cell(text: Any) -> str:
    """Text of a user or model as one harmless line in a Markdown table, without markup, links or mentions."""
    line = _line(text)
    for character in "\\`*_[]|~$":
        line = line.replace(character, f"\\{character}")
    return _escape(line) or "*(nothing)*"


def plain(text: Any) -> str:
    """Text of a user or model inside an HTML element, where Markdown is not interpreted."""
    return _escape(_line(text))


def _line(text: Any) -> str:
    line = " ".join(str(text).split())
    return line if len(line) <= MAX_CHARS else line[:MAX_CHARS].rstrip() + " …"


def _escape(line: str) -> str:
    """The line with tags escaped and a zero-width space wherever GitHub would make a mention, a reference or a link."""
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for mark in ("@", "#", ":/"):
        line = line.replace(mark, mark + ZERO_WIDTH_SPACE)
    return line


def format_value(value: Any) -> str:
    """A figure or setting as the text of a table cell."""
    if value is None:
        return "–"
    return number(value) if isinstance(value, float) else f"{value:,}" if is_number(value) else cell(value)


def delta(change: Change) -> str:
    """The difference, and its share of the earlier value where that is at least half a percent."""
    if change.difference is None:
        return ""
    sign = "+" if change.difference > 0 else "\N{MINUS SIGN}"
    share = f" ({signed_percent(change.share)})" if change.share is not None and abs(change.share) >= 0.005 else ""
    return f"{sign}{number(abs(change.difference))}{share}"
