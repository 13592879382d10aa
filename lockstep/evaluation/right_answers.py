"""When an answer counts as right: a rule that a program can apply, which a reader's judgement does not always share."""

from collections.abc import Iterable

from lockstep.evaluation.text_metrics import normalised, token_f1, words

RIGHT_F1 = 0.6  # token F1 with the answer in the data from which an answer counts as right
SHORT_WORDS = 3  # words; of a shorter answer in the data, each word has to occur instead


def is_right(answer: str, reference: str) -> bool:
    """Whether an answer counts as right beside the answer in the data, the reference.

    Its token F1 has to reach RIGHT_F1. A reference of fewer than SHORT_WORDS words (in SQuAD's normal form), such as
    "Yes" or "42 km", would fail any whole sentence, so there its words all have to occur in the answer. A reference
    without any word, such as ":-)", has to be the answer.
    """
    reference_words, answer_words = normalised(reference).split(), normalised(answer).split()
    if not reference_words:  # an English article, such as the answer "A" of a quiz, is a word after all
        reference_words, answer_words = words(reference), words(answer)
    if not reference_words:
        return answer.split() == reference.split()
    if len(reference_words) < SHORT_WORDS:
        return set(reference_words) <= set(answer_words)
    return token_f1(answer, reference) >= RIGHT_F1


def count_right(pairs: Iterable[tuple[str, str]]) -> int:
    """The number of right answers. pairs: (answer, reference)."""
    return sum(is_right(answer, reference) for answer, reference in pairs)
