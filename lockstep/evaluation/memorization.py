"""How much of a model's answers is copied word for word from training."""

from collections.abc import Iterable, Sequence

from lockstep.artifacts.records import Question, Record
from lockstep.core.atomic_files import figure
from lockstep.evaluation.text_metrics import mean, ngrams, normalised, words

RUN_WORDS = 8  # words of a run; two texts seldom share so many in a row by chance


def verbatim_metrics(
    answers: dict[str, Sequence[str]], references: Sequence[str], train: Iterable[Record]
) -> dict[str, dict[str, float]]:
    """The memorization figures of each model.

    A run is RUN_WORDS words in a row. `verbatim_rate` is the share of its answers that equal a training answer in
    SQuAD's normal form; for texts, the share whose every run occurs in training. `verbatim_wrong_rate` is the share
    that are copied and differ from their references. `verbatim_8gram_rate` is the share of all runs in its answers that
    occur in training.

    answers: model -> its answers, as many as references. train: the training records, read once.
    """
    normal_answers = {normalised(answer) for texts in answers.values() for answer in texts}
    answer_runs = {run for texts in answers.values() for answer in texts for run in ngrams(words(answer), RUN_WORDS)}
    train_answers, train_runs, is_qa = _training_matches(train, normal_answers, answer_runs)
    figures = {}
    for name, texts in answers.items():
        if is_qa:
            copies = [normalised(answer) in train_answers for answer in texts]
        else:
            copies = [_consists_of(answer, train_runs) for answer in texts]
        wrong = [
            copy and normalised(answer) != normalised(reference)
            for copy, answer, reference in zip(copies, texts, references, strict=True)
        ]
        run_copies = [run in train_runs for answer in texts for run in ngrams(words(answer), RUN_WORDS)]
        figures[name] = {
            "verbatim_rate": figure(mean(map(float, copies))),
            "verbatim_wrong_rate": figure(mean(map(float, wrong))),
            "verbatim_8gram_rate": figure(mean(map(float, run_copies))),
        }
    return figures


def _consists_of(text: str, train_runs: set[tuple[str, ...]]) -> bool:
    """Whether a text has runs, and each of them occurs in training."""
    runs = ngrams(words(text), RUN_WORDS)
    return bool(runs) and train_runs.issuperset(runs)


def _training_matches(
    train: Iterable[Record], normal_answers: set[str], answer_runs: set[tuple[str, ...]]
) -> tuple[set[str], set[tuple[str, ...]], bool]:
    """The answers and the runs that occur in training, and whether training holds questions. An empty answer counts as
    no copy."""
    train_answers: set[str] = set()
    train_runs: set[tuple[str, ...]] = set()
    is_qa = False
    for record in train:
        is_qa = isinstance(record, Question)
        text = record.answer if isinstance(record, Question) else record.text
        if is_qa and (normal := normalised(text)) in normal_answers and normal:
            train_answers.add(normal)
        train_runs.update(run for run in ngrams(words(text), RUN_WORDS) if run in answer_runs)
    return train_answers, train_runs, is_qa
