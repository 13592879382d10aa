"""metrics/report.html: a self-contained page that shows a run to people, built from the files the stages write."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from lockstep.evaluation.palette import INK, LINE
from lockstep.evaluation.text_metrics import words
from lockstep.evaluation.verdict import caveats, number, percent, signed_percent, verdict
from lockstep.export.templating import environment
from lockstep.review.compare import Change, flat

TEMPLATES = Path(__file__).parent / "templates"
SHOWN = 10  # answers in each of the groups best, median and worst
TELLING = 4  # least number of letters of a word that is marked where the reference shares it
CHARTS = {
    "learning": ("Learning", "Loss after each epoch, on rows it trains on and on validation rows it does not."),
    "scores": ("Answers beside the references", "Higher is nearer. A model worth having beats the nearest question."),
    "rows": ("Row by row", "How fine-tuning changed the loss of each test row; below the line is better."),
    "length": ("By length", "Loss of held-out rows by the tokens they are scored on."),
    "position": (
        "By place",
        "Loss of the first token, the second and third, and so on; each sees those before it.",
    ),
    "learning_rate": ("Learning rate", "Warm-up, then decay."),
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What a report shows.

    prepare, tokenize, train, evaluate: the metrics of each stage. answers: the lines of metrics/answers.jsonl.
    charts: SVG texts by name. params: the settings. since: the commit that the changes in settings and figures are
    counted from; '' where there is none.
    """

    prepare: dict[str, Any]
    tokenize: dict[str, Any]
    train: dict[str, Any]
    evaluate: dict[str, Any]
    answers: Sequence[dict[str, Any]]
    charts: dict[str, str]
    params: dict[str, Any]
    since: str
    changed_params: Sequence[Change]
    changed_metrics: Sequence[Change]


def report_html(facts: Facts) -> str:
    """The page. Every text is escaped except the charts, which hold no text of a user.

    Raises KeyError or jinja2.UndefinedError where a figure is missing.
    """
    templates = environment(
        TEMPLATES, autoescape=True, number=number, percent=percent, signed=signed_percent, value=shown
    )
    charts = [(name, *CHARTS[name], inline(facts.charts[name], name)) for name in CHARTS if name in facts.charts]
    return templates.get_template("report.html.j2").render(
        marked=marked,
        facts=facts,
        kind=facts.prepare["kind"],
        verdict=verdict(facts.evaluate),
        mood=mood(facts.evaluate["delta"]),
        caveats=caveats(facts.evaluate),
        charts=charts,
        groups=ranked(facts.answers),
        settings=flat(facts.params),
    )


def mood(delta: dict[str, float]) -> str:
    """'better', 'worse' or 'unsure', by the confidence interval of the change in loss."""
    return "better" if delta["loss_high"] < 0 else "worse" if delta["loss_low"] > 0 else "unsure"


def ranked(answers: Sequence[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Groups of the best, the median and the worst answers by chrF: at most SHOWN in each, and no answer twice."""
    ordered = sorted(answers, key=lambda line: (-line["chrf"], line["id"]))
    size = min(SHOWN, len(ordered) // 3)
    if not size:
        return [("All", ordered)] if ordered else []
    middle = (len(ordered) - size) // 2
    return [("Best", ordered[:size]), ("Median", ordered[middle : middle + size]), ("Worst", ordered[-size:])]


def marked(answer: str, reference: str) -> list[tuple[str, bool]]:
    """The answer in pieces, each with whether it is a word of at least TELLING letters that the reference holds too."""
    wanted = {word for word in words(reference) if len(word) >= TELLING or not word.isascii()}
    pieces = re.split(r"(\W+)", answer)
    return [(piece, bool(wanted & set(words(piece)))) for piece in pieces if piece]


def inline(svg: str, name: str) -> Markup:
    """The picture of an SVG file for use inside a page: no XML head, unique ids, the page's text colour."""
    picture = svg[svg.index("<svg") :].replace(INK, "currentColor").replace(LINE, "var(--line)")
    head, body = picture.split(">", 1)
    view = re.search(r'viewBox="[^"]+"', head)
    picture = f'<svg {view.group() if view else ""} role="img" aria-label="{CHARTS[name][0]}">{body}'
    picture = re.sub(r"<metadata>.*?</metadata>", "", picture, flags=re.S)
    picture = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", picture)
    return Markup(picture)  # safe: charts.py draws it from figures and fixed labels


def shown(value: Any) -> str:
    """A figure or setting as text."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    return number(value) if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
