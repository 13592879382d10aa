"""A file's encoding is found from its bytes; what can't be text is refused before anything is read."""

from pathlib import Path

import pytest

from lockstep.core.errors import LockstepError
from lockstep.data.charset import find_encoding, open_text, shown_encoding

WESTERN = "question,answer\nWhat is a naïve model?,It’s a “simple” one – for 5 €.\n"
POLISH = "Co to jest sieć neuronowa?,Model zainspirowany mózgiem; często używany w uczeniu się.\n"
RUSSIAN = "Что такое модель?,Это простое описание.\n"
JAPANESE = "行を消したい,消したい行の番号だけ入れる\n"


def written(folder: Path, content: bytes) -> Path:
    path = folder / "t.csv"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("text", "codec", "expected"),
    [
        (WESTERN, "utf-8", "utf-8"),
        (WESTERN, "utf-8-sig", "utf-8-sig"),
        (WESTERN, "utf-16", "utf-16"),
        (WESTERN, "utf-16-le", "utf-16-le"),
        (WESTERN, "utf-16-be", "utf-16-be"),
        (WESTERN, "utf-32", "utf-32"),
        (WESTERN, "cp1252", "cp1252"),
        (POLISH, "cp1250", "cp1250"),
        (RUSSIAN, "cp1251", "cp1251"),
        (JAPANESE, "cp932", "cp932"),
    ],
)
def test_encoding_is_found(tmp_path: Path, text: str, codec: str, expected: str) -> None:
    path = written(tmp_path, text.encode(codec))
    assert find_encoding(path) == expected
    with open_text(path, expected, newline="") as file:
        assert file.read() == text


def test_byte_unknown_to_windows_is_latin_1(tmp_path: Path) -> None:
    assert find_encoding(written(tmp_path, b"What does a caf\xe9 sell, \x81 and all?")) == "latin-1"


def test_one_accent_in_a_long_file_is_western(tmp_path: Path) -> None:
    assert find_encoding(written(tmp_path, b"plain line\n" * 5000 + b"Andr\xe9 Amp\xe8re\n")) == "cp1252"


@pytest.mark.parametrize("codec", ["utf-16", "utf-32"])
def test_encoding_of_two_byte_orders_needs_the_mark(tmp_path: Path, codec: str) -> None:
    path = written(tmp_path, WESTERN.encode(f"{codec}-le"))
    with pytest.raises(LockstepError, match=rf"data\.encoding = {codec} .* Write {codec}-le or {codec}-be"):
        find_encoding(path, codec)
    assert find_encoding(path, f"{codec}-le") == f"{codec}-le"


def test_broken_byte_in_utf8_is_not_taken_for_a_code_page(tmp_path: Path) -> None:
    path = written(tmp_path, "na\u00efve caf\u00e9\nna\u00efve\n".encode() + b"bro\xffken\n")
    with pytest.raises(LockstepError, match=r"t\.csv line 3: byte 0xFF .* put that line right"):
        find_encoding(path)


def test_character_cut_off_at_the_end_is_named(tmp_path: Path) -> None:
    with pytest.raises(LockstepError, match=r"line 2: byte 0xC3"):
        find_encoding(written(tmp_path, "na\u00efve\n".encode() + b"caf\xc3"), "utf-8")


def test_named_encoding_that_does_not_fit_is_refused_with_the_line(tmp_path: Path) -> None:
    with pytest.raises(LockstepError, match=r"line 2: byte 0xE9 .* data\.encoding"):
        find_encoding(written(tmp_path, b"ok\ncaf\xe9\n"), "utf-8")


def test_named_encoding_still_takes_the_mark_away(tmp_path: Path) -> None:
    assert find_encoding(written(tmp_path, WESTERN.encode("utf-8-sig")), "utf8") == "utf-8-sig"
    assert find_encoding(written(tmp_path, WESTERN.encode("utf-16")), "utf-16-le") == "utf-16"


@pytest.mark.parametrize(
    ("name", "problem"), [("utf9", "'utf9' .*Did you mean utf_8"), ("hex", "'hex' is no encoding of texts")]
)
def test_unknown_encoding_is_refused(tmp_path: Path, name: str, problem: str) -> None:
    with pytest.raises(LockstepError, match=problem):
        find_encoding(written(tmp_path, b"ok"), name)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04rest", "a zip archive or an Excel or Word file"),
        (b"%PDF-1.7", "a PDF"),
        (b"\x1f\x8b\x08", "a gzip archive"),
        (b"PAR1", "a Parquet file"),
        (b"text with \x00 in it", r"t\.csv line 1 holds a NUL byte"),
    ],
)
def test_file_that_is_no_text_is_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    with pytest.raises(LockstepError, match=problem):
        find_encoding(written(tmp_path, content))


def test_folder_named_like_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LockstepError, match="Cannot read"):
        find_encoding(tmp_path)


def test_mark_is_not_shown() -> None:
    assert shown_encoding("utf-8-sig") == "utf-8"
