"""The corpus of the base model: what is cleaned, what is dropped, and that the result never changes."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks import base_corpus
from benchmarks.base_corpus import Source, clean_source, documentation_paragraph, question_codes, story_paragraph
from lockstep.core.errors import LockstepError

PROSE = "The median is the middle value of a sorted list, so a few extreme values can not move it far from the centre."
TALE = (
    "Once upon a time a fox lived under the hill and was afraid of nothing. One day he met a hare who told him that "
    "the river had risen in the night.\n\n'Then we must go at once,' he said, and so they went together up the hill, "
    "and they did not come down until the water was gone and the grass was dry."
)


def cleaned(text: str, kind: str, cap: float | None = None, copied: set[int] | None = None) -> list[str]:
    return clean_source(text, Source("name", "MIT", kind, cap), copied or set(), set())[0]


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        ("“It’s late,” he said—and left…", '"It\'s late," he said - and left...'),
        ("“Wait--” cried Noël , the _tailor_ .", '"Wait -" cried Noel, the tailor.'),
        ("He was in a heart- broken mood. [23]", "He was in a heart-broken mood."),
        ("ONCE upon a time there was a king.", "Once upon a time there was a king."),
        ("AND I saw two- and three-year-old horses.", "And I saw two- and three-year-old horses."),
    ],
)
def test_story_is_set_in_plain_characters(raw: str, plain: str) -> None:
    assert story_paragraph(raw) == (plain, "")


@pytest.mark.parametrize(
    "line",
    [
        "Chapter Xiv.",
        "Down The Rab-Bit Hole.",
        "[Illustration: The Happy Prince]",
        "By Frances Hodgson Burnett",
        "=Six to Sixteen=: A Story for Girls. 12mo, cloth, price $1.00.",
        "Seeland ist eine der Inseln, welche das Land bilden, und in diesem Lande lebte der kleine Tuk mit Mutter"
        " und Vater, seinen Schwestern und vielen anderen Leuten.",
    ],
)
def test_lines_that_are_not_the_story_are_dropped(line: str) -> None:
    assert story_paragraph(line)[1] != ""


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("Robust Covariance Estimation", "no sentence"),
        ("alpha: The learning rate that is used for each of the trees in the forest of the model.", "signature"),
        ("Returns the mean of the values that were given in the array along the axis that you chose.", "signature"),
        ("We can see that {ref} is the way in which the estimator is fitted on all of the data we have.", "markup"),
        ("For more details on how it is done and why it works so well, check out the guides we have.", "pointer"),
        ("Before you open a pull request you should be sure that all tests of the project pass.", "housekeeping"),
        ("The probability of is at most the sum of the two, which is what we wanted to show in the proof.", "gap"),
        ("You can set n_jobs or use fit_transform when the model is so slow that you can not wait for it.", "code"),
        ("Breiman, L. Random forests. Machine Learning, vol. 45, which is where it was introduced.", "reference"),
        ("and then the model is fitted on all of the data that we have kept for it in the first step.", "no sentence"),
        ("Support Vector Machines, Decision Trees, Naive Bayes, Gaussian Mixture Models, Neural Networks, Boosted"
         " Regression Trees, Random Forests, Nearest Neighbours.", "capitals"),
    ],
)  # fmt: skip
def test_documentation_that_is_no_prose_is_dropped_for_its_reason(line: str, reason: str) -> None:
    assert documentation_paragraph(line, "course")[1] == reason


def test_prose_of_documentation_is_kept_as_it_is() -> None:
    assert documentation_paragraph(PROSE, "manual") == (PROSE, "")


def test_only_the_longest_run_of_clean_sentences_is_kept() -> None:
    text = f"1. Note that {PROSE[0].lower()}{PROSE[1:]} See `np.median` for the code. It is used as follows:"
    assert documentation_paragraph(text, "course") == (PROSE, "")


def test_sentence_that_leans_on_a_dropped_one_does_not_begin_a_run() -> None:
    text = f"Call np.median(x) on it. Therefore it is much slower than the mean of the same list of values. {PROSE}"
    assert documentation_paragraph(text, "course") == (PROSE, "")


def test_word_cut_at_the_end_of_a_line_is_joined() -> None:
    assert cleaned(TALE.replace("afraid", "af-\nraid").replace("hare who", "hare\nwho"), "story") == [TALE]


def test_repeats_are_dropped_whatever_their_case_and_punctuation() -> None:
    other = "A mean is not like the median, because each of its values has the same weight. It moves with all of them."
    nearly = PROSE.replace("centre", "middle")
    paragraphs = [PROSE, PROSE.replace(",", " -").replace("median", "Median"), nearly, other, other]
    assert cleaned("\n\n".join(paragraphs), "course") == [f"{PROSE}\n\n{other}"]


def test_tale_told_twice_is_kept_once() -> None:
    assert cleaned("\f".join([TALE, TALE.replace("fox", "wolf")]), "story") == [TALE]


def test_refrain_within_a_tale_is_kept() -> None:
    tale = "\n\n".join([TALE, "'I will blow and I will blow until your house is blown to the ground,' he said."] * 2)
    assert cleaned(tale, "story") == [tale]


def test_document_in_syllables_and_catalogue_are_left_out() -> None:
    syllables = TALE.replace("under", "un-der").replace("river", "riv-er").replace("nothing", "noth-ing") * 2
    syllables = syllables.replace("together", "to-geth-er").replace("afraid", "a-fraid").replace("water", "wa-ter")
    catalogue = "\n\n".join(["The Land Of Oz", "By L. Frank Baum", "12mo. Cloth, price $1.25."] * 20)
    assert cleaned("\f".join([syllables, catalogue]), "story") == []


def test_paragraph_that_shares_eight_words_with_a_question_is_dropped(tmp_path: Path) -> None:
    table = tmp_path / "questions.csv"
    table.write_text('Question,Answer\nWhat is it?,"He met a HARE - who told him that the river froze."\n')
    copied = question_codes(table)
    documents, tally = clean_source(TALE, Source("name", "MIT", "story"), copied, set())
    assert tally.dropped["overlap"] == 1
    assert "hare" not in "".join(documents)


def test_table_without_answers_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "questions.csv"
    table.write_text("Question,Reply\nWhy?,Because.\n")
    with pytest.raises(LockstepError, match="Question and Answer"):
        question_codes(table)


def test_cap_takes_whole_documents_whatever_their_order() -> None:
    names = ["Ann", "Bob", "Cat", "Dan", "Eve", "Fay", "Gus", "Hal"]
    words = TALE.split(" ")
    tales = [" ".join(f"{word} {name}" if i % 6 == 0 else word for i, word in enumerate(words)) for name in names]
    some, others = (cleaned("\f".join(order), "story", cap=0.0012) for order in (tales, tales[::-1]))
    assert some == others[::-1]
    assert 0 < sum(map(len, some)) <= 1200
    assert set(some) < set(cleaned("\f".join(tales), "story"))


def test_folder_becomes_a_corpus_and_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_corpus, "SOURCES", (Source("tales", "CC0-1.0", "story"), Source("guide", "MIT", "course")))
    (tmp_path / "tales.txt").write_text(f"{TALE}\n\f\nThe End.\n")
    (tmp_path / "guide.txt").write_text(f"Median\n\n{PROSE} {PROSE.replace('median', 'mode').replace('a', 'the')}\n")
    (tmp_path / "unlisted.txt").write_text(TALE)
    runs = []
    for name in ("one", "two"):
        monkeypatch.setattr(sys, "argv", ["base_corpus", str(tmp_path), str(tmp_path / name)])
        base_corpus.main()
        runs.append({file.name: file.read_bytes() for file in (tmp_path / name).iterdir()})
    assert runs[0] == runs[1]
    assert runs[0].keys() == {"tales.txt", "guide.txt", "report.json"}
    assert runs[0]["tales.txt"].decode() == TALE + "\n"
    report = json.loads(runs[0]["report.json"])
    assert report["sources"]["tales"]["licence"] == "CC0-1.0"
    assert report["sources"]["guide"]["dropped"] == {"no sentence": 1}


def test_missing_source_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["base_corpus", str(tmp_path), str(tmp_path / "out")])
    with pytest.raises(LockstepError, match=r"fairytaleqa_stories\.txt is missing"):
        base_corpus.main()


def test_sources_are_named_once_and_none_of_unclear_licence_is_among_them() -> None:
    names = [source.name for source in base_corpus.SOURCES]
    assert len(names) == len(set(names))
    assert not {"python-peps", "rust-rfcs", "aesop_fables"} & set(names)
    assert all(source.licence for source in base_corpus.SOURCES)
