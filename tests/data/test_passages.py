"""Texts are cut where paragraphs end, and no word is lost."""

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lockstep.data.passages import NEW_DOCUMENT, Passage, read_passages


def passages(folder: Path, text: str, size: int) -> list[Passage]:
    (folder / "t.txt").write_bytes(text.encode())
    return list(read_passages(folder / "t.txt", "utf-8", size))


def test_passages_end_at_paragraphs_and_know_their_line(tmp_path: Path) -> None:
    text = "\none one one\n\ntwo two two\nmore of two\n\n\nthree three three\n"
    assert passages(tmp_path, text, 24) == [
        Passage(2, "one one one", NEW_DOCUMENT),
        Passage(4, "two two two\nmore of two", "\n\n"),
        Passage(8, "three three three", "\n\n"),
    ]


def test_small_paragraphs_share_a_passage(tmp_path: Path) -> None:
    assert passages(tmp_path, "aaaa\n\nbbbb\n\ncccc\n\ndddd\n", 12) == [
        Passage(1, "aaaa\n\nbbbb", NEW_DOCUMENT),
        Passage(5, "cccc\n\ndddd", "\n\n"),
    ]


def test_line_with_a_form_feed_begins_a_document(tmp_path: Path) -> None:
    assert passages(tmp_path, "first\n\f\nsecond\n\nstill second\n", 1000) == [
        Passage(1, "first", NEW_DOCUMENT),
        Passage(3, "second\n\nstill second", NEW_DOCUMENT),
    ]


def test_size_zero_gives_whole_documents(tmp_path: Path) -> None:
    long = "\n\n".join(["word " * 200] * 20)
    assert [passage.text for passage in passages(tmp_path, f"{long}\n\f\nend\n", 0)] == [long, "end"]


def test_paragraph_of_one_endless_line_is_cut_at_sentences(tmp_path: Path) -> None:
    result = passages(tmp_path, "Here is one. " * 40, 100)
    assert len(result) > 4
    assert all(passage.text.rstrip().endswith("one.") and len(passage.text) <= 150 for passage in result)
    assert {passage.line for passage in result} == {1}


def test_line_breaks_end_passages_where_there_are_no_empty_lines(tmp_path: Path) -> None:
    result = passages(tmp_path, "".join(f"line number {number}\n" for number in range(30)), 60)
    assert [passage.line for passage in result][:3] == [1, 5, 9]
    assert {passage.separator for passage in result[1:]} == {"\n"}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=80)
@given(st.text(alphabet="ab .\n\f\u3002", max_size=200), st.integers(0, 40))
def test_nothing_but_white_space_is_lost(tmp_path: Path, text: str, size: int) -> None:
    joined = "".join(passage.separator + passage.text for passage in passages(tmp_path, text, size))
    assert "".join(joined.split()) == "".join(text.split())
