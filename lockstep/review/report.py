"""metrics/report.html: a self-contained page about a run, made from the files that the stages write."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from lockstep.core.atomic_files import read_json
from lockstep.core.errors import LockstepError
from lockstep.core.nested import flatten
from lockstep.core.paths import ANSWERS, CHARTS, EVALUATE_METRICS, PREPARE_METRICS, TOKENIZE_METRICS, TRAIN_METRICS
from lockstep.core.settings import load_params
from lockstep.evaluation.palette import INK, LINE
from lockstep.evaluation.question_kinds import HEADINGS, KINDS, shown_of_each_kind
from lockstep.evaluation.right_answers import is_right
from lockstep.evaluation.shown_answers import cut_repetition
from lockstep.evaluation.text_metrics import words
from lockstep.evaluation.verdict import (
    caveats,
    evidence,
    mood,
    number,
    percent,
    right_rule,
    signed_interval,
    signed_percent,
    verdict,
)
from lockstep.export.templating import environment
from lockstep.review.compare import Change, changes, read_snapshot, without_derived
from lockstep.review.revisions import has_commits, resolve

TEMPLATES = Path(__file__).parent / "templates"
GROUP_SIZE = 10  # most answers in each of the groups of one kind of question
MIN_LETTERS = 4  # of a word that is marked if the reference has it too
CHART_TEXTS = {  # name of a chart -> its title and caption, in the order of the page
    "learning": ("Learning", "Loss after each epoch, on rows it trains on and on validation rows it does not."),
    "scores": (
        "Answers to new questions beside yours",
        "Higher is nearer. A model worth having beats the answer of the nearest training question.",
    ),
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
    """Everything that a report shows.

    prepare, tokenize, train, evaluate: the metrics of each stage. answers: the lines of metrics/answers.jsonl.
    charts: name -> SVG. params: the settings. since: the commit that settings and figures are compared with, 7 hex
    digits; '' if there is none.
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


def read_facts() -> Facts:
    """Read the files of all stages in the current folder, and the latest commit's figures and settings.

    Raises LockstepError if a stage has not run yet.
    """
    evaluate: dict[str, Any] = read_json(EVALUATE_METRICS, "make repro")
    if not ANSWERS.exists():
        raise LockstepError(f"{ANSWERS} is missing.", "Run `make repro` first.")
    commit = resolve("HEAD") if has_commits() else None
    before, now = read_snapshot(commit) if commit else None, read_snapshot(None)
    before = before if before is not None and before.is_evaluated else None
    return Facts(
        prepare=read_json(PREPARE_METRICS, "make repro"),
        tokenize=read_json(TOKENIZE_METRICS, "make repro"),
        train=read_json(TRAIN_METRICS, "make repro"),
        evaluate=evaluate,
        answers=[json.loads(line) for line in ANSWERS.read_text(encoding="utf-8").splitlines()],
        charts={path.stem: path.read_text(encoding="utf-8") for path in sorted(CHARTS.glob("*.svg"))},
        params=load_params().model_dump(exclude_none=True),
        since=commit[:7] if commit and before else "",
        changed_params=changes(before.params, now.params) if before else [],
        changed_metrics=without_derived(changes(before.metrics, now.metrics)) if before else [],
    )


def report_html(facts: Facts) -> str:
    """The page. Every text is escaped except the charts, which hold no text of a user.

    Raises KeyError or jinja2.UndefinedError where a figure is missing.
    """
    templates = environment(
        TEMPLATES,
        autoescape=True,
        number=number,
        percent=percent,
        signed=signed_percent,
        value=format_value,
        shown=cut_repetition,
        interval=signed_interval,
    )
    charts = [
        (name, *texts, inline_svg(facts.charts[name], name))
        for name, texts in CHART_TEXTS.items()
        if name in facts.charts
    ]
    return templates.get_template("report.html.j2").render(
        marked=mark_shared_words,
        is_right=is_right,
        facts=facts,
        kind=facts.prepare["kind"],
        verdict=verdict(facts.evaluate),
        mood=mood(facts.evaluate),
        evidence=evidence(facts.evaluate),
        right_rule=right_rule(facts.evaluate) if facts.evaluate.get("questions") else "",
        kinds=KINDS,
        caveats=caveats(facts.evaluate),
        charts=charts,
        sections=answer_sections(facts.answers, facts.prepare["kind"]),
        settings=flatten(facts.params),
    )


Groups = list[tuple[str, list[dict[str, Any]]]]  # title -> lines of metrics/answers.jsonl


def answer_sections(answers: Sequence[dict[str, Any]], kind: str) -> list[tuple[str, str, Groups]]:
    """(heading, name of the kind of question, groups) of each kind that was asked; of texts one, without heading.

    kind: 'qa' or 'text'.
    """
    yours = "your answers" if kind == "qa" else "your texts"
    of_kind = shown_of_each_kind(answers, len(answers))
    return [
        (HEADINGS[name] if kind == "qa" else "", name, group_by_rank(some, yours)) for name, some in of_kind.items()
    ]


def group_by_rank(answers: Sequence[dict[str, Any]], yours: str = "your answers") -> Groups:
    """The answers closest to the references, those in between and the farthest, by chrF.

    At most GROUP_SIZE are in each group, and no answer is in two. yours: what the references are called.
    """
    ordered = sorted(answers, key=lambda line: (-line["chrf"], line["id"]))
    size = min(GROUP_SIZE, len(ordered) // 3)
    if not size:
        return [("All", ordered)] if ordered else []
    middle = (len(ordered) - size) // 2
    return [
        (f"Closest to {yours}", ordered[:size]),
        ("In between", ordered[middle : middle + size]),
        (f"Farthest from {yours}", ordered[-size:]),
    ]


def mark_shared_words(answer: str, reference: str) -> list[tuple[str, bool]]:
    """The answer split at word borders, each part with whether it is a word that the reference has too.

    Words of fewer than MIN_LETTERS ASCII letters are never marked.
    """
    reference_words = {word for word in words(reference) if len(word) >= MIN_LETTERS or not word.isascii()}
    parts = re.split(r"(\W+)", answer)
    return [(part, bool(reference_words & set(words(part)))) for part in parts if part]


def inline_svg(svg: str, name: str) -> Markup:
    """An SVG file's picture for use inside a page: no XML head, ids unique to `name`, the page's text colour."""
    picture = svg[svg.index("<svg") :].replace(INK, "currentColor").replace(LINE, "var(--line)")
    head, body = picture.split(">", 1)
    view = re.search(r'viewBox="[^"]+"', head)
    picture = f'<svg {view.group() if view else ""} role="img" aria-label="{CHART_TEXTS[name][0]}">{body}'
    picture = re.sub(r"<metadata>.*?</metadata>", "", picture, flags=re.S)
    picture = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", picture)
    return Markup(picture)  # safe: charts.py draws it from figures and fixed labels


def format_value(value: Any) -> str:
    """A figure or setting as text."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    return number(value) if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
