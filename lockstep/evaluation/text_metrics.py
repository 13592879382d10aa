"""Metrics of generated answers: overlap with the references, length, repetition and diversity.

The functions take texts only. docs/evaluation.md gives each formula, its source and its limits.
"""

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from lockstep.core.atomic_files import figure

UNSPACED = r"\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"  # kana and Chinese characters, written without blanks
UNSPACED_CHARACTER = re.compile(f"([{UNSPACED}])")
WORD = re.compile(rf"[{UNSPACED}]|[^\W_{UNSPACED}]+")
ARTICLES = re.compile(r"\b(a|an|the)\b")
REPEAT_WORDS = 4  # words of a sequence that counts as repetition when it occurs in an answer again


def words(text: str) -> list[str]:
    """Lower-case runs of letters and digits in any script; Chinese characters and kana one by one.

    On ASCII text these are rouge-score's own tokens.
    """
    return WORD.findall(text.lower())


def normalised(text: str) -> str:
    """SQuAD's normal form: lower case, no punctuation, no English articles, single blanks (Rajpurkar et al. 2016).

    Beyond SQuAD's definition, punctuation of all scripts is removed, and Chinese characters and kana become words of
    one character.
    """
    letters = "".join(character for character in text.lower() if not _is_punctuation(character))
    spaced = UNSPACED_CHARACTER.sub(r" \1 ", letters)
    return " ".join(ARTICLES.sub(" ", spaced).split())


def exact_match(answer: str, reference: str) -> float:
    """1.0 where both are the same in SQuAD's normal form, else 0.0."""
    return float(normalised(answer) == normalised(reference))


def token_f1(answer: str, reference: str) -> float:
    """Harmonic mean of precision and recall of words, each counted as often as it occurs (SQuAD v2's definition).

    Where either has no word in SQuAD's normal form, 1.0 if both have none, else 0.0.
    """
    answer_words, reference_words = normalised(answer).split(), normalised(reference).split()
    if not answer_words or not reference_words:
        return float(answer_words == reference_words)
    shared = sum((Counter(answer_words) & Counter(reference_words)).values())
    return 2 * shared / (len(answer_words) + len(reference_words))


def rouge_l(answer: str, reference: str) -> float:
    """F-measure of the longest common subsequence of words (Lin 2004), by the library rouge-score, without stemming."""
    return float(_rouge().score(reference, answer)["rougeL"].fmeasure)


def chrf(answers: Sequence[str], references: Sequence[str]) -> float:
    """chrF2 of all answers together, 0 to 100, by the library sacrebleu (Popović 2015)."""
    return float(_chrf().corpus_score(list(answers), [list(references)]).score)


def answer_chrf(answer: str, reference: str) -> float:
    """chrF2 of one answer, 0 to 100."""
    return float(_chrf().sentence_score(answer, [reference]).score)


def overlap_metrics(answers: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Mean exact match, token F1 and ROUGE-L (0 to 1) and chrF (0 to 100) of answers against their references.

    Raises ValueError when there are not as many answers as references.
    """
    pairs = list(zip(answers, references, strict=True))
    return {
        "exact_match": figure(mean(exact_match(*pair) for pair in pairs)),
        "f1": figure(mean(token_f1(*pair) for pair in pairs)),
        "rouge_l": figure(mean(rouge_l(*pair) for pair in pairs)),
        "chrf": figure(chrf(answers, references)),
    }


def repeated_ngrams(text: str) -> float:
    """Share of a text's sequences of REPEAT_WORDS words that occur in it before; 0.0 for a shorter text."""
    sequences = ngrams(words(text), REPEAT_WORDS)
    return 1 - len(set(sequences)) / len(sequences) if sequences else 0.0


def distinct(texts: Iterable[str], length: int) -> float:
    """Distinct-n of all texts together: different n-grams of words over all of them, n = length (Li et al. 2016).

    0.0 where there are no n-grams.
    """
    sequences = [sequence for text in texts for sequence in ngrams(words(text), length)]
    return len(set(sequences)) / len(sequences) if sequences else 0.0


def surface_metrics(answers: Sequence[str], references: Sequence[str], has_eos: Sequence[bool]) -> dict[str, float]:
    """Metrics that do not compare an answer's content with its reference.

    `eos_rate` is the share of answers that end in end-of-text, `length_ratio` the number of words in the answers over
    that in the references, `rep_4` the mean of repeated_ngrams, and `distinct_1` and `distinct_2` those of `distinct`.

    has_eos: whether each answer ends in end-of-text.
    """
    reference_words = sum(len(words(reference)) for reference in references)
    answer_words = sum(len(words(answer)) for answer in answers)
    return {
        "eos_rate": figure(mean(map(float, has_eos))),
        "length_ratio": figure(answer_words / max(reference_words, 1)),
        "rep_4": figure(mean(repeated_ngrams(answer) for answer in answers)),
        "distinct_1": figure(distinct(answers, 1)),
        "distinct_2": figure(distinct(answers, 2)),
    }


def ngrams(tokens: Sequence[str], length: int) -> list[tuple[str, ...]]:
    """All n-grams of the tokens, n = length, in order."""
    return [tuple(tokens[start : start + length]) for start in range(len(tokens) - length + 1)]


def mean(values: Iterable[float]) -> float:
    """The arithmetic mean; 0.0 where there are no values."""
    listed = list(values)
    return sum(listed) / len(listed) if listed else 0.0


def _is_punctuation(character: str) -> bool:
    return character in string.punctuation or unicodedata.category(character).startswith("P")


class _Words:
    """A tokenizer for rouge-score. Its own keeps ASCII only, so that every answer in Greek would score 0."""

    def tokenize(self, text: str) -> list[str]:
        return words(text)


@cache
def _rouge() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], use_stemmer=False, tokenizer=_Words())


@cache
def _chrf() -> Any:
    from sacrebleu.metrics import CHRF

    return CHRF()
