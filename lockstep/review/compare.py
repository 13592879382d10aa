"""Compares two revisions of a project: figures, settings and answers to the same questions."""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lockstep.core import renamed
from lockstep.core.errors import LockstepError
from lockstep.core.nested import flatten
from lockstep.core.paths import ANSWERS, EVALUATE_METRICS, METRICS, PARAMS
from lockstep.evaluation.question_kinds import NEW
from lockstep.review.revisions import merge_base, read_at, resolve

METRIC_FILES = ("prepare", "tokenize", "train", "evaluate")
FIXED_QUESTIONS = 10  # most questions whose answers are compared
RIGHT = ".tuned.right"  # the end of the name of a count of right answers


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The figures, settings and answers of one revision.

    metrics and params: 'evaluate.tuned.loss' -> value. answers: id -> line of metrics/answers.jsonl.
    """

    metrics: dict[str, Any]
    params: dict[str, Any]
    answers: dict[str, dict[str, Any]]

    @property
    def is_evaluated(self) -> bool:
        """Whether there are figures of evaluate."""
        return any(name.startswith("evaluate.") for name in self.metrics)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The work tree and the commit it is compared with. commit: 40 hex digits. name: of the commit, for people."""

    commit: str
    name: str
    before: Snapshot
    now: Snapshot


@dataclass(frozen=True, slots=True)
class Change:
    """A figure or setting in two revisions; None in a revision that does not have it."""

    name: str
    before: Any
    after: Any

    @property
    def difference(self) -> float | None:
        """after - before; None unless both are numbers."""
        numbers = [value for value in (self.before, self.after) if is_number(value)]
        return numbers[1] - numbers[0] if len(numbers) == 2 else None

    @property
    def share(self) -> float | None:
        """The difference divided by |before|; None if there is no difference or `before` is 0."""
        return self.difference / abs(self.before) if self.difference is not None and self.before else None


@dataclass(frozen=True, slots=True)
class FixedQuestion:
    """A question that both revisions answered."""

    question: str
    reference: str
    before: str
    after: str


def add_revision_options(parser: argparse.ArgumentParser) -> None:
    """Add --against and --branch, the arguments of read_comparison, to a command's parser."""
    parser.add_argument("--against", metavar="REVISION", help="a commit, tag or branch; default: where HEAD left main")
    parser.add_argument("--branch", metavar="BRANCH", help="compare with where HEAD left this branch; default: main")


def read_comparison(against: str | None, branch: str | None) -> Comparison:
    """Read the work tree and the revision to compare it with.

    against: that revision; None: the commit where HEAD left `branch`. branch: None for main. Raises LockstepError when
    the work tree has no figures, or there is nothing to compare with.
    """
    now = read_snapshot(None)
    if not now.is_evaluated:
        raise LockstepError(f"{EVALUATE_METRICS} is missing.", "Run `make repro` first.")
    commit = resolve(against) if against else merge_base(branch)
    return Comparison(commit, f"{against or branch or 'main'} at {commit[:7]}", read_snapshot(commit), now)


def read_snapshot(revision: str | None) -> Snapshot:
    """Read a commit, or (None) the work tree, without checking anything out. Raises LockstepError on broken files.

    Settings and metrics that have been renamed since have today's names.
    """
    metrics: dict[str, Any] = {}
    for name in METRIC_FILES:
        path = METRICS / f"{name}.json"
        if (text := read_at(revision, path)) is not None:
            metrics |= flatten({name: _json(text, path, revision)})
    answers = [_json(line, ANSWERS, revision) for line in (read_at(revision, ANSWERS) or "").splitlines()]
    try:
        params = flatten(yaml.safe_load(read_at(revision, PARAMS) or "") or {})
    except yaml.YAMLError:
        raise LockstepError(f"{PARAMS} is not valid YAML{_in(revision)}.") from None
    return Snapshot(
        metrics=renamed.with_new_names(metrics, renamed.METRICS),
        params=renamed.with_new_names(params, renamed.SETTINGS),
        answers={line["id"]: line for line in answers},
    )


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[Change]:
    """The values that differ, in the order of `after`; those that only `before` has come last."""
    names = list(after) + [name for name in before if name not in after]
    every = [Change(name, before.get(name), after.get(name)) for name in names]
    return [change for change in every if change.before != change.after]


def without_derived(figures: list[Change]) -> list[Change]:
    """Changes of figures without those that follow from others: differences to the base, and the self-checks.

    Of the figures by kind of question the model's right answers stay: three dozen others move with them.
    """
    derived = ("evaluate.delta.", "evaluate.checks.", "evaluate.questions.")
    return [change for change in figures if not change.name.startswith(derived) or change.name.endswith(RIGHT)]


def fixed_questions(before: Snapshot, after: Snapshot, count: int = FIXED_QUESTIONS) -> list[FixedQuestion]:
    """The first new questions, by id, that both revisions answered: the same as long as the test split keeps them."""
    new = {key for key, line in after.answers.items() if line.get("kind", NEW) == NEW}
    ids = sorted(set(before.answers) & new)[:count]
    return [
        FixedQuestion(
            question=after.answers[key]["question"],
            reference=after.answers[key]["reference"],
            before=before.answers[key]["tuned"],
            after=after.answers[key]["tuned"],
        )
        for key in ids
    ]


def is_number(value: Any) -> bool:
    """Whether a value is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _json(text: str, path: Path, revision: str | None) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise LockstepError(f"{path} is not valid JSON{_in(revision)}.", "Run `make repro` to make it again.") from None


def _in(revision: str | None) -> str:
    return f" in revision {revision[:12]}" if revision else ""
