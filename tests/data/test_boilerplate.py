"""Held-out texts lose the paragraphs that training has too."""

from pathlib import Path

import pytest

from lockstep.artifacts.records import Text, read_records, write_records
from lockstep.core.errors import LockstepError
from lockstep.data.boilerplate import drop_repeated_paragraphs
from lockstep.data.leakage import leakage

A, B, C, D, E = (
    f"The {word} paragraph has {word} words, and {word} again." for word in ("one", "two", "three", "four", "five")
)
SHORT = "Chapter one"


def write(folder: Path, **texts: list[str]) -> dict[str, Path]:
    paths = {split: folder / f"{split}.jsonl" for split in texts}
    for split, contents in texts.items():
        records = [Text(f"{split}{number}", "c", text, "a.txt", number) for number, text in enumerate(contents)]
        write_records(paths[split], records)
    return paths


def test_a_paragraph_of_an_earlier_file_is_dropped_and_a_text_without_paragraphs_too(tmp_path: Path) -> None:
    paths = write(
        tmp_path,
        train=[f"{SHORT}\n\n{A}\n\n{B}", f"{A}\nanother line"],
        validation=[f"{SHORT}\n\n{A.upper()}\n\n{C}", f"{D}\n\n{D}"],
        test=[f"{A}\n\n{D}", C, f"{E}\n\n{E}", f"{A}\nanother line, and one more"],
    )
    before = paths["train"].read_bytes()
    result = drop_repeated_paragraphs(paths)
    assert (result.text_counts, result.dropped_paragraphs) == ({"train": 2, "validation": 2, "test": 2}, 4)
    assert paths["train"].read_bytes() == before
    texts = {split: [(record.id, record.text) for record in read_records(path)] for split, path in paths.items()}
    assert texts["validation"] == [("validation0", f"{SHORT}\n\n{C}"), ("validation1", f"{D}\n\n{D}")]
    assert texts["test"] == [("test2", f"{E}\n\n{E}"), ("test3", f"{A}\nanother line, and one more")]
    assert leakage(paths, "text", 0.8) == result.leakage == {"paragraphs": 0}


def test_a_split_without_texts_left_is_an_error(tmp_path: Path) -> None:
    paths = write(tmp_path, train=[A, B], validation=[], test=[f"{B}\n\n{A}"])
    with pytest.raises(LockstepError, match=r"the test split .* set split\.test to 0"):
        drop_repeated_paragraphs(paths)


def test_texts_without_anything_in_common_stay_as_they_are(tmp_path: Path) -> None:
    paths = write(tmp_path, train=[f"{A}\n\n{SHORT}"], validation=[], test=[f"{B}\n\n{B}", SHORT])
    before = {split: (path.read_bytes(), path.stat().st_mtime_ns) for split, path in paths.items()}
    result = drop_repeated_paragraphs(paths)
    assert (result.text_counts, result.dropped_paragraphs) == ({"train": 1, "validation": 0, "test": 2}, 0)
    assert {split: (path.read_bytes(), path.stat().st_mtime_ns) for split, path in paths.items()} == before
