"""How near generated answers come to their references, and whether they end, repeat themselves and differ.

Pure functions over texts. docs/evaluation.md gives each formula, its source and its limits.
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
REPEAT = 4  # words of a sequence that counts as repeated when an answer holds it again


def words(text: str) -> list[str]:
    """Lower-case runs of letters and digits in any script; Chinese characters and kana one by one.

    On ASCII text these are rouge-score's own tokens.
    """
    return WORD.findall(text.lower())


def normalised(text: str) -> str:
    """SQuAD's normal form: lower case, no punctuation, no English articles, single blanks (Rajpurkar et al. 2016).

    Punctuation of other scripts goes as well, and their unspaced characters stand apart.
    """
    kept = "".join(character for character in text.lower() if not _is_punctuation(character))
    apart = UNSPACED_CHARACTER.sub(r" \1 ", kept)
    return " ".join(ARTICLES.sub(" ", apart).split())


def exact_match(answer: str, reference: str) -> float:
    """1.0 where both are the same in SQuAD's normal form, else 0.0."""
    return float(normalised(answer) == normalised(reference))


def token_f1(answer: str, reference: str) -> float:
    """Harmonic mean of precision and recall of words, each counted as often as it occurs (SQuAD v2's definition).

    Where either has no word left, 1.0 if both have none, else 0.0.
    """
    said, wanted = normalised(answer).split(), normalised(reference).split()
    if not said or not wanted:
        return float(said == wanted)
    shared = sum((Counter(said) & Counter(wanted)).values())
    return 2 * shared / (len(said) + len(wanted))


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
    """Means of exact match, token F1 and ROUGE-L (0 to 1); chrF (0 to 100). Raises ValueError on unequal numbers."""
    pairs = list(zip(answers, references, strict=True))
    return {
        "exact_match": figure(mean(exact_match(*pair) for pair in pairs)),
        "f1": figure(mean(token_f1(*pair) for pair in pairs)),
        "rouge_l": figure(mean(rouge_l(*pair) for pair in pairs)),
        "chrf": figure(chrf(answers, references)),
    }


def repeated_ngrams(text: str) -> float:
    """Share of sequences of REPEAT words that the text has said before; 0.0 where it is shorter."""
    sequences = ngrams(words(text), REPEAT)
    return 1 - len(set(sequences)) / len(sequences) if sequences else 0.0


def distinct(texts: Iterable[str], length: int) -> float:
    """Different sequences of `length` words over all of them, all texts together (Li et al. 2016); 0.0 without any."""
    sequences = [sequence for text in texts for sequence in ngrams(words(text), length)]
    return len(set(sequences)) / len(sequences) if sequences else 0.0


def surface_metrics(answers: Sequence[str], references: Sequence[str], ended: Sequence[bool]) -> dict[str, float]:
    """How answers are said, whatever they say: `eos_rate` is the share that ended in end-of-text, `length_ratio` the
    words said over the words of the references, `rep_4` the mean of repeated_ngrams, `distinct_1` and `distinct_2` as
    above."""
    wanted = sum(len(words(reference)) for reference in references)
    said = sum(len(words(answer)) for answer in answers)
    return {
        "eos_rate": figure(mean(map(float, ended))),
        "length_ratio": figure(said / max(wanted, 1)),
        "rep_4": figure(mean(repeated_ngrams(answer) for answer in answers)),
        "distinct_1": figure(distinct(answers, 1)),
        "distinct_2": figure(distinct(answers, 2)),
    }


def ngrams(tokens: Sequence[str], length: int) -> list[tuple[str, ...]]:
    """Every run of `length` tokens, in order."""
    return [tuple(tokens[start : start + length]) for start in range(len(tokens) - length + 1)]


def mean(values: Iterable[float]) -> float:
    """Arithmetic mean; 0.0 of nothing."""
    listed = list(values)
    return sum(listed) / len(listed) if listed else 0.0


def _is_punctuation(character: str) -> bool:
    return character in string.punctuation or unicodedata.category(character).startswith("P")


class _Words:
    """What rouge-score asks for as a tokenizer: its own keeps ASCII only, and an answer in Greek would score 0."""

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
