"""A comparison of two revisions as Markdown, for a pull request or a job summary."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lockstep.evaluation.verdict import caveats, number, signed_percent, verdict
from lockstep.review.compare import Change, Snapshot, changes, fixed_questions, is_number, telling
from lockstep.review.gates import GateResult, failed

MARK = "<!-- lockstep comparison -->"  # by which a later run finds the comment to replace
ZERO_WIDTH_SPACE = "\u200b"
TEXT_CHARS = 400  # of an answer shown; GitHub takes 65,536 characters in a comment
LISTED = 60  # changed figures shown
CURVE_POINTS = 40  # of a learning curve
FIRST = ("evaluate.tuned.perplexity", "evaluate.tuned.loss", "evaluate.tuned.f1", "evaluate.tuned.stopped")


def comment(before: Snapshot, after: Snapshot, gates: list[GateResult], name: str, evaluation: dict[str, Any]) -> str:
    """Markdown with MARK first. name: of the revision compared with. evaluation: this one's metrics/evaluate.json."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown: every text of a user passes through `cell`
    )
    environment.filters |= {"cell": cell, "plain": plain, "value": shown, "delta": delta}
    both = [(name, curve(before)), ("this branch", curve(after))]
    metrics = telling(changes(before.metrics, after.metrics))
    metrics.sort(key=lambda change: change.name not in FIRST)
    return environment.get_template("comment.md.j2").render(
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
    """Tokens seen (thousands) and losses per epoch; empty without epochs."""
    points = snapshot.epochs[:: max(1, len(snapshot.epochs) // CURVE_POINTS)]
    names = [name for name in ("train_loss", "validation_loss") if points and all(name in point for point in points)]
    return {name: [round(point[name], 4) for point in points] for name in names}


def cell(text: Any) -> str:
    """Text of a user or model as one harmless line of a Markdown table: no markup, link or mention comes through."""
    line = _line(text)
    for character in "\\`*_[]|~$":
        line = line.replace(character, f"\\{character}")
    return _quiet(line) or "*(nothing)*"


def plain(text: Any) -> str:
    """The same inside an HTML element, where Markdown does not reach."""
    return _quiet(_line(text))


def _line(text: Any) -> str:
    line = " ".join(str(text).split())
    return line if len(line) <= TEXT_CHARS else line[:TEXT_CHARS].rstrip() + " …"


def _quiet(line: str) -> str:
    """No tag, and a gap of no width where GitHub would make a mention, a reference or a link."""
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for mark in ("@", "#", ":/"):
        line = line.replace(mark, mark + ZERO_WIDTH_SPACE)
    return line


def shown(value: Any) -> str:
    """A figure or setting in a cell."""
    if value is None:
        return "–"
    return number(value) if isinstance(value, float) else f"{value:,}" if is_number(value) else cell(value)


def delta(change: Change) -> str:
    """The difference, with its share where that says something."""
    if change.difference is None:
        return ""
    sign = "+" if change.difference > 0 else "\N{MINUS SIGN}"
    share = f" ({signed_percent(change.share)})" if change.share is not None and abs(change.share) >= 0.005 else ""
    return f"{sign}{number(abs(change.difference))}{share}"
