"""The script that people write to tokenize, measured beside the pipeline."""

from pathlib import Path
from typing import Any

from projects import ROOT

from benchmarks import plain_tokenize
from benchmarks.generated_data import Writer, write_questions, write_texts

TEXTS = ROOT / "data/raw/texts"


def test_questions_are_padded_and_texts_cut_in_blocks(tmp_path: Path, tokenizer: Any) -> None:
    writer = Writer(TEXTS, sentences=50)
    write_questions(tmp_path / "rows.csv", writer, 20)
    write_texts(tmp_path / "texts", writer, 40_000, files=1)
    padded = plain_tokenize.questions(tmp_path / "rows.csv", tokenizer)
    assert {len(ids) for ids in padded["train"]["input_ids"]} == {128}
    assert len(padded["train"]) + len(padded["test"]) == 20
    blocks = plain_tokenize.texts(tmp_path / "texts", tokenizer)
    assert {len(ids) for ids in blocks["train"]["labels"]} == {128}
