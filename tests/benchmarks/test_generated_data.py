"""Generated rows and texts: the same each time, and as uneven as real data."""

from pathlib import Path

from projects import ROOT

from benchmarks.generated_data import Writer, question_rows, write_texts

TEXTS = ROOT / "data/raw/texts"


def test_rows_are_the_same_each_time_and_repeat_and_resemble_each_other() -> None:
    rows, again = (list(question_rows(Writer(TEXTS, sentences=200), 2000)) for _ in range(2))
    assert rows == again
    assert 10 <= 2000 - len(set(rows)) <= 40
    topics = [question.split(" ", 3)[-1] for question, _ in rows if question.startswith("Please explain")]
    assert len(topics) > 20
    assert all(any(other.endswith(topic) for other, _ in rows) for topic in topics)


def test_texts_have_the_requested_size(tmp_path: Path) -> None:
    write_texts(tmp_path, Writer(TEXTS, sentences=200), 1_000_000, files=2)
    size = sum(path.stat().st_size for path in tmp_path.glob("*.txt"))
    assert 1_000_000 <= size < 1_300_000
