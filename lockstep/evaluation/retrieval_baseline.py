"""The retrieval baseline: it gives the answer of the most similar training question."""

from collections.abc import Sequence

import numpy as np

from lockstep.evaluation.text_metrics import words

QUERIES_AT_ONCE = 64  # questions compared with all training questions at a time, which bounds memory


def nearest_questions(train: Sequence[str], queries: Sequence[str]) -> list[int]:
    """For each query the index of the most similar training question, by the cosine of TF-IDF vectors.

    Among equally similar ones the first is taken. TF-IDF is scikit-learn's, fitted on the training questions and
    sublinear in the count of a word. Raises ValueError when there is no training question.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    if not train:
        raise ValueError("there is no training question")
    if not any(words(question) for question in train):
        return [0] * len(queries)
    vectorizer = TfidfVectorizer(analyzer=words, sublinear_tf=True)
    train_vectors = vectorizer.fit_transform(train)  # (train, words), sparse, each of length 1
    nearest: list[int] = []
    for start in range(0, len(queries), QUERIES_AT_ONCE):
        # (queries, train), sparse
        cosines = vectorizer.transform(queries[start : start + QUERIES_AT_ONCE]) @ train_vectors.T
        nearest += [int(index) for index in np.asarray(cosines.toarray()).argmax(axis=1)]  # (queries,)
    return nearest
