"""Answers against references: literal strings, SQuAD's definition and the reference libraries."""

import pytest
import sacrebleu
from rouge_score.rouge_scorer import RougeScorer

from lockstep.evaluation.text_metrics import (
    chrf,
    distinct,
    exact_match,
    normalised,
    overlap_metrics,
    repeated_ngrams,
    rouge_l,
    surface_metrics,
    token_f1,
    words,
)

PAIRS = [
    ("The cat sat on the mat.", "A cat sat on a mat"),
    ("It is a share of rows, e.g. 0.5", "it's the share of all rows"),
    ("", "something"),
    ("police killed the gunman", "police kill the gunman"),
    ("mean-squared error (MSE)", "MSE, the mean squared error"),
]


@pytest.mark.parametrize(
    ("answer", "reference", "expected"),
    [
        ("The Cat!", "cat", 1.0),
        ("the cat", "the dog", 0.0),
        ("cat sat", "cat", 2 / 3),
        ("cat cat cat", "cat dog", 2 * (1 / 3) * (1 / 2) / (1 / 3 + 1 / 2)),
        ("", "", 1.0),
        ("the", "a", 1.0),
        ("", "cat", 0.0),
    ],
)
def test_token_f1_is_squads(answer: str, reference: str, expected: float) -> None:
    assert token_f1(answer, reference) == pytest.approx(expected)


def test_exact_match_overlooks_case_punctuation_and_articles_only() -> None:
    assert exact_match("The  Gini index.", "gini index") == 1.0
    assert exact_match("gini indices", "gini index") == 0.0


def test_chinese_is_compared_by_character_and_greek_by_word() -> None:
    assert normalised("机器。") == "机 器"
    assert token_f1("机器", "机会") == pytest.approx(0.5)
    assert words("Ο Μέσος όρος 数据") == ["ο", "μέσος", "όρος", "数", "据"]
    assert rouge_l("Ο μέσος όρος", "Ο μέσος όρος") == 1.0


@pytest.mark.parametrize(("answer", "reference"), PAIRS)
def test_rouge_l_agrees_with_the_reference_library_on_ascii(answer: str, reference: str) -> None:
    expected = RougeScorer(["rougeL"]).score(reference, answer)["rougeL"].fmeasure
    assert rouge_l(answer, reference) == pytest.approx(expected)


def test_rouge_l_of_lins_example() -> None:
    assert rouge_l("police kill the gunman", "police killed the gunman") == pytest.approx(0.75)
    assert rouge_l("the gunman kill police", "police killed the gunman") == pytest.approx(0.5)


def test_chrf_agrees_with_sacrebleu() -> None:
    answers, references = [list(texts) for texts in zip(*PAIRS, strict=True)]
    assert chrf(answers, references) == pytest.approx(sacrebleu.corpus_chrf(answers, [references]).score)


def test_chrf_of_equal_texts_is_100_and_of_disjoint_ones_0() -> None:
    assert chrf(["abc def"], ["abc def"]) == pytest.approx(100)
    assert chrf(["abc"], ["xyz"]) == 0


def test_repeated_is_the_share_of_four_word_runs_said_before() -> None:
    assert repeated_ngrams("a b c d e") == 0
    assert repeated_ngrams("to be to be to be to be") == pytest.approx(1 - 2 / 5)
    assert repeated_ngrams("too short") == 0


def test_distinct_counts_different_words_and_pairs_over_all_answers() -> None:
    assert distinct(["a b", "a b"], 1) == 0.5
    assert distinct(["a b", "b a"], 2) == 1.0
    assert distinct([], 1) == 0.0


def test_a_model_that_never_stops_is_seen() -> None:
    endless = surface_metrics(["again " * 30] * 4, ["a short answer"] * 4, [False] * 4)
    assert endless["eos_rate"] == 0
    assert endless["length_ratio"] == 10
    assert endless["rep_4"] > 0.9
    assert endless["distinct_1"] < 0.01


def test_closeness_of_the_references_themselves_is_perfect() -> None:
    references = ["one answer", "another one"]
    perfect = {"exact_match": 1, "f1": 1, "rouge_l": 1, "chrf": 100}
    assert overlap_metrics(references, references) == pytest.approx(perfect)


def test_unequal_numbers_of_answers_and_references_are_refused() -> None:
    with pytest.raises(ValueError, match="argument"):
        overlap_metrics(["one"], ["one", "two"])
