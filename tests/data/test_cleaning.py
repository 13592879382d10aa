"""Cleaning changes how a text is written, never what it says; folding removes what makes no difference."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lockstep.data.cleaning import clean_text, fold, holds_html


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("  plain  ", "plain"),
        ("two  \t blanks", "two blanks"),
        ("cafe\u0301", "caf\u00e9"),
        ("e\u200b\u0301", "\u00e9"),
        ("non\u00a0breaking\u3000space", "non breaking space"),
        ("zero\u200bwidth\ufeff and \u202abidi\u202c", "zerowidth and bidi"),
        ("bell\x07 and null\x00", "bell and null"),
        ("a\r\nb\rc\u2028d", "a\nb\nc\nd"),
        ("one  \n\n\n\n two", "one\n\n two"),
        ("half an emoji \ud83d", "half an emoji"),
        ("soft\u00adhyphen", "softhyphen"),
        ("\t\n ", ""),
    ],
)
def test_text_is_tidied(raw: str, clean: str) -> None:
    assert clean_text(raw) == clean


def test_indentation_of_code_stays() -> None:
    code = "for x in y:\n    if x:\n        print(x)"
    assert clean_text(code + "  \n") == code


@pytest.mark.parametrize("text", ["\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\U0001f469\u200d\U0001f4bb"])
def test_joiners_stay_where_they_mean_something(text: str) -> None:
    assert clean_text(text) == text


def test_joiner_beside_latin_letters_goes() -> None:
    assert clean_text("to\u200dgether") == "together"


NASTY = " \t\n\r\x00\x0b\x85ab-é\u0301\u00a0\u200b\u200c\u200d\u2028\ufeff\ud83d漢"


@settings(deadline=None, max_examples=400)
@given(st.text() | st.text(alphabet=NASTY, max_size=12))
def test_cleaning_twice_changes_nothing_more(text: str) -> None:
    once = clean_text(text)
    assert clean_text(once) == once


@settings(deadline=None)
@given(st.text())
def test_clean_text_can_be_written_as_utf8(text: str) -> None:
    clean_text(text).encode("utf-8")


def test_html_becomes_what_a_browser_shows() -> None:
    html = "<div><p>Tom &amp; Jerry<br>run</p><ul><li>one</li><li>two</li></ul><script>x()</script></div>"
    assert clean_text(html, html=True) == "Tom & Jerry\nrun\none\ntwo"


def test_html_stays_unless_asked_for() -> None:
    assert clean_text("<b>bold</b>") == "<b>bold</b>"


def test_comparison_is_not_taken_for_html() -> None:
    assert clean_text("x < y and y > z", html=True) == "x < y and y > z"
    assert not holds_html("if a<b and c>d")
    assert holds_html('see <a href="x">this</a>')


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is a p-value?", "what is a P value"),
        ("What\u2019s new?", "What's  NEW"),
        ("\u201cquoted\u201d", '"Quoted".'),
        ("Stra\u00dfe", "STRASSE"),
        ("\uff21\uff22\uff23", "abc"),
        ("\u00bfQu\u00e9?", "qu\u00e9"),
    ],
)
def test_case_and_punctuation_fold_away(one: str, other: str) -> None:
    assert fold(one) == fold(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is C++?", "What is C#?"),
        ("3", "-3"),
        ("5%", "5"),
        ("x > 0", "x < 0"),
        ("a/b", "a b"),
        ("?", "!"),
        ("caf\u00e9", "cafe"),
    ],
)
def test_what_changes_the_meaning_does_not_fold_away(one: str, other: str) -> None:
    assert fold(one) != fold(other)


def test_half_a_character_does_not_stop_html() -> None:
    assert clean_text("half \udd8a&amp; whole", html=True) == "half & whole"


def test_text_that_no_browser_would_take_for_html_stays_as_it_is() -> None:
    assert clean_text("a<b <![<! c &amp; d", html=True) == "a<b <![<! c &amp; d"


LONG = {
    "blanks at a line's beginning": "a\n" + " " * 300_000 + "b",
    "blanks that do not break": "a\n" + "\u00a0" * 300_000 + "b",
    "joiners": "\u00e9" + "\u200c" * 300_000 + "\u00e9",
    "a tag that never ends": "<p " + "= " * 150_000,
    "blocks in blocks": "<div>" * 20_000 + "x",
}


@pytest.mark.timeout(30)  # a moment each; with work that grows as the square of the length, an hour
@pytest.mark.parametrize("text", LONG.values(), ids=LONG.keys())
def test_work_grows_linearly_with_the_text(text: str) -> None:
    assert fold(clean_text(text, html=True)) or holds_html(text)
