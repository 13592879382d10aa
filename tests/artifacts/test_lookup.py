"""Looking up: the nearest pairs, never a row's own words beside its own pair, and the same for everyone."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstep.artifacts.lookup import (
    LOOKUP_FILE,
    OPENINGS,
    OWN_SHARE,
    Lookup,
    copy_lookup,
    read_lookup,
    reworded,
    training_lookup,
    write_lookup,
)
from lockstep.artifacts.records import Question, write_records
from lockstep.core.errors import LockstepError

PAIRS = [
    ("What is a median?", "The middle value."),
    ("How do I feed a cat?", "Twice a day."),
    ("Which paint does a bridge get?", "Green paint."),
    ("What is a mean?", "The sum divided by the count."),
]


def rows(count: int) -> list[Question]:
    return [Question(f"{n:016x}", "c", f"What is thing number {n}?", f"It is {n}.", "a.csv", n) for n in range(count)]


@pytest.mark.parametrize("question", ["feeding my cat", "how to feed a catt", "HOW DO I FEED A CAT", "Twice a day?"])
def test_another_wording_and_a_typing_error_find_their_pair(question: str) -> None:
    assert Lookup(PAIRS, 2).turns(question)[-1] == PAIRS[1]


def test_the_most_similar_pair_stands_last_and_there_are_no_more_than_asked_for() -> None:
    assert Lookup(PAIRS, 2).turns("What is the mean?") == [PAIRS[0], PAIRS[3]]
    assert len(Lookup(PAIRS, 8).turns("What is the mean?")) == len(PAIRS)


def test_a_question_without_anything_in_common_still_gets_pairs() -> None:
    assert Lookup(PAIRS, 2).turns("") == [PAIRS[1], PAIRS[0]]


def test_a_training_row_sees_its_own_pair_only_when_it_asks_in_other_words_or_by_chance_unchanged() -> None:
    questions = rows(400)
    lookup = Lookup([(row.question, row.answer) for row in questions], 2)
    asked = lookup.training_turns(questions)
    has_own = [(row.question, row.answer) in turns for row, (_, turns) in zip(questions, asked, strict=True)]
    assert sum(has_own) / len(has_own) == pytest.approx(OWN_SHARE, abs=0.08)
    assert {len(turns) for _, turns in asked} == {0, 2}
    for row, (text, _), own in zip(questions, asked, has_own, strict=True):
        assert own or text == row.question
    changed = [text != row.question for row, (text, _), own in zip(questions, asked, has_own, strict=True) if own]
    assert sum(changed) > 0.6 * len(changed)
    last = [
        turns[-1] == (r.question, r.answer) for r, (_, turns), own in zip(questions, asked, has_own, strict=True) if own
    ]
    assert 0.5 < sum(last) / len(last) < 0.9  # sometimes another pair stands between


def test_what_a_row_asks_depends_on_nothing_but_the_row_and_its_neighbours() -> None:
    questions = rows(30)
    lookup = Lookup([(row.question, row.answer) for row in questions], 2)
    assert lookup.training_turns(questions) == [lookup.training_turns([row])[0] for row in questions]


@given(st.text(max_size=40), st.integers())
def test_rewording_takes_words_and_marks_away_and_may_begin_otherwise(question: str, seed: int) -> None:
    text = reworded(question, random.Random(seed))
    opening = next((one for one in OPENINGS if text.lower().startswith(one.lower())), "")
    words = [part for word in question.lower().split() for part in (word, word.rstrip("?"))]
    assert set(text[len(opening) :].lower().split()) <= set(words)
    assert bool(text) or not question.replace("?", "").split()


def test_pairs_travel_from_folder_to_folder(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    source.mkdir(), target.mkdir()
    copy_lookup(source, target)
    assert read_lookup(target, 2, "make export") is None
    write_lookup(source, PAIRS)
    copy_lookup(source, target)
    lookup = read_lookup(target, 2, "make export")
    assert lookup is not None and (lookup.pairs, lookup.count) == (PAIRS, 2)
    assert read_lookup(target, 0, "make export") is None


def test_a_damaged_file_says_what_makes_it_again(tmp_path: Path) -> None:
    (tmp_path / LOOKUP_FILE).write_text('{"question": "Why?"}\n', encoding="utf-8")
    with pytest.raises(LockstepError, match=r"lookup\.jsonl is damaged.*`make export`"):
        read_lookup(tmp_path, 2, "make export")


def test_too_many_questions_are_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_records(tmp_path / "train.jsonl", rows(5))
    assert len(training_lookup(tmp_path / "train.jsonl", 2).pairs) == 5
    monkeypatch.setattr("lockstep.artifacts.lookup.MOST_PAIRS", 4)
    with pytest.raises(LockstepError, match=r"generation\.lookup is 2.*4 questions at most.*has 5.*to 0"):
        training_lookup(tmp_path / "train.jsonl", 2)
