"""Questions with everyone's answers to them, and the figures of each kind of question."""

from dataclasses import dataclass
from typing import Any

from lockstep.core.atomic_files import figure
from lockstep.evaluation.answers import TestQuestion
from lockstep.evaluation.bootstrap import MIN_GROUPS
from lockstep.evaluation.question_kinds import KINDS
from lockstep.evaluation.right_answers import count_right
from lockstep.evaluation.score_models import f1_evidence
from lockstep.evaluation.text_metrics import overlap_metrics
from lockstep.generation.engine import Answer


@dataclass(frozen=True, slots=True)
class Answered:
    """Questions with the answers to them, as many in each list.

    answers: those of 'base' and of 'tuned' as generated, and of a tuned model that looks training pairs up also
    'alone': what it answers without them. texts: those as text and, for questions, 'retrieval': the answers of the
    nearest training questions.
    """

    questions: list[TestQuestion]
    answers: dict[str, list[Answer]]
    texts: dict[str, list[str]]

    @property
    def references(self) -> list[str]:
        """The answers in the data."""
        return [question.reference for question in self.questions]

    def of_kind(self, kind: str) -> "Answered":
        """The questions of one kind."""
        indices = [index for index, question in enumerate(self.questions) if question.kind == kind]
        return Answered(
            [self.questions[index] for index in indices],
            {name: [answers[index] for index in indices] for name, answers in self.answers.items()},
            {name: [texts[index] for index in indices] for name, texts in self.texts.items()},
        )


def figures_by_kind(answered: Answered, resamples: int, seed: int) -> dict[str, dict[str, Any]]:
    """The figures of each kind of which a question was asked, by its name.

    resamples, seed: of the bootstrap.
    """
    parts = {kind: answered.of_kind(kind) for kind in KINDS}
    return {kind: _figures(part, resamples, seed) for kind, part in parts.items() if part.questions}


def _figures(answered: Answered, resamples: int, seed: int) -> dict[str, Any]:
    """Of one kind: the number of questions and of their clusters, what came out right, and two comparisons in F1."""
    texts, references, questions = answered.texts, answered.references, answered.questions
    clusters = len({question.cluster for question in questions})
    figures: dict[str, Any] = {"count": len(questions), "clusters": clusters}
    for name in [name for name in ("base", "tuned", "alone", "retrieval") if name in texts]:
        right = count_right(zip(texts[name], references, strict=True))
        rate = {"right": right, "right_rate": figure(right / len(questions))}
        figures[name] = overlap_metrics(texts[name], references) | rate
    for other in ("retrieval", "base"):
        evidence = f1_evidence(questions, texts[other], texts["tuned"], resamples, seed)
        figures[f"vs_{other}"] = evidence if clusters >= MIN_GROUPS else {"f1": evidence["f1"]}
    return figures
