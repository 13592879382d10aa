"""The honest simple rival of a fine-tuned model: the answer of the training question most like the one asked."""

from collections.abc import Sequence

import numpy as np

from lockstep.evaluation.text_metrics import words

ASKED_AT_ONCE = 64  # questions compared with all of training at a time


def nearest_questions(trained: Sequence[str], asked: Sequence[str]) -> list[int]:
    """For each question asked the index of the training question nearest by TF-IDF cosine; the first of equals.

    TF-IDF as scikit-learn computes it, fitted on the training questions, sublinear in the count of a word.
    Raises ValueError when there is no training question.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    if not trained:
        raise ValueError("there is no training question")
    if not any(words(question) for question in trained):
        return [0] * len(asked)
    vectorizer = TfidfVectorizer(analyzer=words, sublinear_tf=True)
    known = vectorizer.fit_transform(trained)
    nearest: list[int] = []
    for start in range(0, len(asked), ASKED_AT_ONCE):
        likeness = vectorizer.transform(asked[start : start + ASKED_AT_ONCE]) @ known.T
        nearest += [int(row) for row in np.asarray(likeness.toarray()).argmax(axis=1)]
    return nearest
