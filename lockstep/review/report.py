"""metrics/report.html: one file that shows a run to people, made of the files the stages wrote."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from lockstep.evaluation.palette import INK, LINE
from lockstep.evaluation.text_metrics import words
from lockstep.evaluation.verdict import caveats, number, percent, signed_percent, verdict
from lockstep.review.compare import Change, flat

SHOWN = 10  # best, median and worst answers, each
TELLING = 4  # letters from which a word shared with the reference is marked
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
    """What a report is made of: the metrics of each stage, the lines of metrics/answers.jsonl, SVG texts by name, the
    settings, and what changed in settings and figures since the commit `since` ('' where there is none)."""

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
    """The page. Every text in it is escaped but the charts, which hold no text of a user."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "percent": percent, "signed": signed_percent, "value": shown}
    environment.globals["marked"] = marked
    charts = [(name, *CHARTS[name], inline(facts.charts[name], name)) for name in CHARTS if name in facts.charts]
    return environment.get_template("report.html.j2").render(
        facts=facts,
        kind=facts.prepare["kind"],
        verdict=verdict(facts.evaluate),
        mood=mood(facts.evaluate["change"]),
        caveats=caveats(facts.evaluate),
        charts=charts,
        groups=ranked(facts.answers),
        settings=flat(facts.params),
    )


def mood(change: dict[str, float]) -> str:
    """'better', 'worse' or 'unsure', as the interval of the loss says."""
    return "better" if change["loss_high"] < 0 else "worse" if change["loss_low"] > 0 else "unsure"


def ranked(answers: Sequence[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """The best, the median and the worst answers by chrF, SHOWN of each where there are enough, none twice."""
    ordered = sorted(answers, key=lambda line: (-line["chrf"], line["id"]))
    size = min(SHOWN, len(ordered) // 3)
    if not size:
        return [("All", ordered)] if ordered else []
    middle = (len(ordered) - size) // 2
    return [("Best", ordered[:size]), ("Median", ordered[middle : middle + size]), ("Worst", ordered[-size:])]


def marked(answer: str, reference: str) -> list[tuple[str, bool]]:
    """The answer in pieces; True for words of TELLING letters or more that the reference holds too."""
    wanted = {word for word in words(reference) if len(word) >= TELLING or not word.isascii()}
    pieces = re.split(r"(\W+)", answer)
    return [(piece, bool(wanted & set(words(piece)))) for piece in pieces if piece]


def inline(svg: str, name: str) -> Markup:
    """An SVG file's picture to stand in a page: no XML head, ids of its own, the page's own ink."""
    picture = svg[svg.index("<svg") :].replace(INK, "currentColor").replace(LINE, "var(--line)")
    head, body = picture.split(">", 1)
    view = re.search(r'viewBox="[^"]+"', head)
    picture = f'<svg {view.group() if view else ""} role="img" aria-label="{CHARTS[name][0]}">{body}'
    picture = re.sub(r"<metadata>.*?</metadata>", "", picture, flags=re.S)
    picture = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", picture)
    return Markup(picture)  # ours, drawn by charts.py from figures and fixed labels


def shown(value: Any) -> str:
    """A figure or setting as text."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    return number(value) if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
