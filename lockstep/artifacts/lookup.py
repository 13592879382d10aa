"""Looking up: the training pairs nearest to a question stand before it as earlier turns, in training as in answering.

So a small model need not know every row by heart; it learns when a pair before the question holds the answer.
"""

import json
import random
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lockstep.artifacts.records import Question, iterate_records
from lockstep.core.atomic_files import whole_file
from lockstep.core.errors import LockstepError

LOOKUP_FILE = "lookup.jsonl"  # beside a model; the pairs it looks up
MOST_PAIRS = 50_000  # more would make a row wait for the comparison
QUERIES_AT_ONCE = 64  # questions compared with all pairs at a time, which bounds memory
OWN_SHARE = 0.5  # of the training rows that have their own pair among those before them,
NONE_SHARE = 0.15  # and of those that have no pair: the model has to answer by itself where nothing can be looked up
SWAPPED_SHARE = 0.3  # of the first whose pairs stand in the wrong order, so that not only the last one counts
CHANGES = 0.45  # probability of each change that rewords such a row's question
SMALL_WORDS = set("a an the of is are to in for and or do does did i my you me it that this on with can".split())  # noqa: SIM905
OPENINGS = (  # how people begin to ask
    "Please explain:",
    "Could you tell me",
    "I keep reading about this,",
    "In plain words,",
    "Quick question:",
    "Somebody asked me",
    "I don't get it,",
    "hi,",
)

Pair = tuple[str, str]  # question, answer


class Lookup:
    """Pairs of questions and answers, found by the cosine of TF-IDF vectors of character 3- to 5-grams.

    Characters rather than words, so that a typing error or another ending still finds its pair. The question counts
    twice, its answer once. count: pairs that stand before a question.
    """

    def __init__(self, pairs: Sequence[Pair], count: int) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        self.pairs, self.count = list(pairs), count
        self._vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True)
        texts = [f"{question} {question} {answer}" for question, answer in self.pairs]
        self._vectors = self._vectorizer.fit_transform(texts)  # (pairs, n-grams), sparse, each of length 1

    def nearest(self, questions: Sequence[str], count: int) -> list[list[int]]:
        """For each question the indices of the `count` most similar pairs, the most similar last."""
        found: list[list[int]] = []
        for start in range(0, len(questions), QUERIES_AT_ONCE):
            queries = self._vectorizer.transform(questions[start : start + QUERIES_AT_ONCE])
            cosines = np.asarray((queries @ self._vectors.T).toarray())  # (queries, pairs)
            order = np.argsort(-cosines, axis=1, kind="stable")[:, :count]  # (queries, count), equal ones in order
            found += [[int(index) for index in row[::-1]] for row in order]
        return found

    def turns(self, question: str) -> list[Pair]:
        """The pairs that stand before a question."""
        return [self.pairs[index] for index in self.nearest([question], self.count)[0]]

    def training_turns(self, rows: Sequence[Question]) -> list[tuple[str, list[Pair]]]:
        """For each training row the question it asks and the pairs before it.

        Half of the rows (OWN_SHARE, by their id) have their own pair among those before them and ask in other words, as
        a person would who asks for what is in the data. The others never see their own pair.
        """
        near = self.nearest([row.question for row in rows], self.count + 1)
        return [self._training_turns(row, indices) for row, indices in zip(rows, near, strict=True)]

    def _training_turns(self, row: Question, near: list[int]) -> tuple[str, list[Pair]]:
        """training_turns of one row. near: indices of the pairs nearest to it, its own among them."""
        draw = random.Random(row.id)
        share = draw.random()
        own = (row.question, row.answer)
        others = [self.pairs[index] for index in near if self.pairs[index] != own][-self.count :]
        if share >= OWN_SHARE:
            return row.question, [] if share < OWN_SHARE + NONE_SHARE else others
        pairs = [*others[1:], own]
        return reworded(row.question, draw), pairs[::-1] if draw.random() < SWAPPED_SHARE else pairs


def reworded(question: str, draw: random.Random) -> str:
    """A question as a hasty person types it: some small words missing, maybe another beginning, maybe in lower case,
    maybe without its mark."""
    words = question.split()
    kept = [word for word in words if word.lower() not in SMALL_WORDS or draw.random() > CHANGES] or words
    text = " ".join([draw.choice(OPENINGS), *kept] if draw.random() < CHANGES else kept)
    text = text.lower() if draw.random() < CHANGES else text
    return text.rstrip("?").rstrip() or question if draw.random() < CHANGES else text


def training_lookup(path: Path, count: int) -> Lookup:
    """The lookup of the questions in a file of records. Raises LockstepError where there are more than MOST_PAIRS."""
    pairs = [(record.question, record.answer) for record in iterate_records(path) if isinstance(record, Question)]
    if len(pairs) > MOST_PAIRS:
        raise LockstepError(
            f"generation.lookup is {count}, but it looks through {MOST_PAIRS:,} questions at most, and the train split "
            f"has {len(pairs):,}.",
            "Set generation.lookup to 0.",
        )
    return Lookup(pairs, count)


def write_lookup(folder: Path, pairs: Iterable[Pair]) -> None:
    """Write the pairs into a model's folder."""
    with whole_file(folder / LOOKUP_FILE) as file:
        for question, answer in pairs:
            file.write(json.dumps({"question": question, "answer": answer}, ensure_ascii=False) + "\n")


def copy_lookup(source: Path, target: Path) -> None:
    """Copy the pairs of one model's folder to another, where there are any."""
    if (source / LOOKUP_FILE).is_file():
        shutil.copyfile(source / LOOKUP_FILE, target / LOOKUP_FILE)


def read_lookup(folder: Path, count: int, made_by: str) -> Lookup | None:
    """The lookup in a model's folder; None where the model looks nothing up or its pairs did not come along.

    count: see Prompt.lookup. made_by: the command that writes the file. Raises LockstepError when it is damaged.
    """
    path = folder / LOOKUP_FILE
    if not count or not path.is_file():
        return None
    try:
        lines: list[dict[str, Any]] = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        pairs = [(line["question"], line["answer"]) for line in lines]
    except (ValueError, KeyError, TypeError):
        raise LockstepError(f"{path} is damaged.", f"Run `{made_by}` to make it again.") from None
    return Lookup(pairs, count) if pairs else None
