"""A comparison of two revisions as Markdown, for a pull request or a job summary."""

from pathlib import Path
from typing import Any

from lockstep.evaluation.verdict import caveats, number, signed_percent, verdict
from lockstep.export.templating import environment
from lockstep.review.compare import Change, Snapshot, changes, fixed_questions, is_number, telling
from lockstep.review.gates import GateResult, failed

TEMPLATES = Path(__file__).parent / "templates"
MARK = "<!-- lockstep comparison -->"  # a later run finds the comment to replace by it
ZERO_WIDTH_SPACE = "\u200b"
TEXT_CHARS = 400  # longest text of an answer; GitHub accepts 65,536 characters in a comment
LISTED = 60  # most changed figures shown
CURVE_POINTS = 40  # fewest points a thinned learning curve keeps
FIRST = ("evaluate.tuned.perplexity", "evaluate.tuned.loss", "evaluate.tuned.f1", "evaluate.tuned.eos_rate")


def comment(before: Snapshot, after: Snapshot, gates: list[GateResult], name: str, evaluation: dict[str, Any]) -> str:
    """The comparison in Markdown, with MARK first.

    name: of the revision `before`. evaluation: metrics/evaluate.json of the revision `after`.
    Raises jinja2.UndefinedError or KeyError where a figure is missing.
    """
    # Markdown is not escaped: every text of a user passes through `cell` or `plain`.
    templates = environment(TEMPLATES, autoescape=False, cell=cell, plain=plain, value=shown, delta=delta)
    both = [(name, curve(before)), ("this branch", curve(after))]
    metrics = telling(changes(before.metrics, after.metrics))
    metrics.sort(key=lambda change: change.name not in FIRST)
    return templates.get_template("comment.md.j2").render(
        mark=MARK,
        name=name,
        verdict=verdict(evaluation),
        caveats=caveats(evaluation),
        leakage=evaluation["leakage"],
        compared=before.is_evaluated,
        gates=gates,
        broken=failed(gates),
        metrics=metrics[:LISTED],
        left_out=max(0, len(metrics) - LISTED),
        params=changes(before.params, after.params),
        curves=[(title, points) for title, points in both if points],
        questions=fixed_questions(before, after),
    )


def curve(snapshot: Snapshot) -> dict[str, list[float]]:
    """Training and validation loss at each epoch, as far as every epoch has them; empty without epochs."""
    points = snapshot.epochs[:: max(1, len(snapshot.epochs) // CURVE_POINTS)]
    names = [name for name in ("train_loss", "validation_loss") if points and all(name in point for point in points)]
    return {name: [round(point[name], 4) for point in points] for name in names}


def cell(text: Any) -> str:
    """Text of a user or model as one harmless line in a Markdown table, without markup, links or mentions."""
    line = _line(text)
    for character in "\\`*_[]|~$":
        line = line.replace(character, f"\\{character}")
    return _quiet(line) or "*(nothing)*"


def plain(text: Any) -> str:
    """Text of a user or model inside an HTML element, where Markdown is not interpreted."""
    return _quiet(_line(text))


def _line(text: Any) -> str:
    line = " ".join(str(text).split())
    return line if len(line) <= TEXT_CHARS else line[:TEXT_CHARS].rstrip() + " …"


def _quiet(line: str) -> str:
    """The line with tags escaped and a zero-width space wherever GitHub would make a mention, a reference or a link."""
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for mark in ("@", "#", ":/"):
        line = line.replace(mark, mark + ZERO_WIDTH_SPACE)
    return line


def shown(value: Any) -> str:
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
