"""Whether a model says what it learnt by heart instead of answering."""

from collections.abc import Iterable, Sequence

from lockstep.artifacts.records import Question, Record
from lockstep.core.atomic_files import figure
from lockstep.evaluation.text_metrics import mean, ngrams, normalised, words

RUN = 8  # words in a row that are unlikely to be the same by chance


def verbatim_metrics(
    answers: dict[str, Sequence[str]], references: Sequence[str], trained: Iterable[Record]
) -> dict[str, dict[str, float]]:
    """For each model: `verbatim_rate`, the share of its answers that are a training answer word for word (for texts:
    whose every run of RUN words occurs in training); `verbatim_wrong_rate`, the share that are so and differ from the
    reference; `verbatim_8gram_rate`, the share of runs of RUN words that occur in training.

    answers: model -> answers; trained: the training records, read once.
    """
    whole = {normalised(answer) for said in answers.values() for answer in said}
    runs = {run for said in answers.values() for answer in said for run in ngrams(words(answer), RUN)}
    known, known_runs, questions = _found_in(trained, whole, runs)
    figures = {}
    for name, said in answers.items():
        if questions:
            verbatim = [normalised(answer) in known for answer in said]
        else:
            verbatim = [_all_known(answer, known_runs) for answer in said]
        wrong = [
            same and normalised(answer) != normalised(reference)
            for same, answer, reference in zip(verbatim, said, references, strict=True)
        ]
        own = [run in known_runs for answer in said for run in ngrams(words(answer), RUN)]
        figures[name] = {
            "verbatim_rate": figure(mean(map(float, verbatim))),
            "verbatim_wrong_rate": figure(mean(map(float, wrong))),
            "verbatim_8gram_rate": figure(mean(map(float, own))),
        }
    return figures


def _all_known(text: str, known: set[tuple[str, ...]]) -> bool:
    runs = ngrams(words(text), RUN)
    return bool(runs) and known.issuperset(runs)


def _found_in(
    trained: Iterable[Record], whole: set[str], runs: set[tuple[str, ...]]
) -> tuple[set[str], set[tuple[str, ...]], bool]:
    """Which of the texts and runs occur in training, and whether training holds questions. An empty text is no copy."""
    found: set[str] = set()
    found_runs: set[tuple[str, ...]] = set()
    questions = False
    for record in trained:
        questions = isinstance(record, Question)
        text = record.answer if isinstance(record, Question) else record.text
        if questions and (normal := normalised(text)) in whole and normal:
            found.add(normal)
        found_runs.update(run for run in ngrams(words(text), RUN) if run in runs)
    return found, found_runs, questions
