"""Any table, JSON file or text comes back as it was written, in any encoding."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from preparing import ROOT
from strategies import CELLS

from lockstep.core.settings import Data
from lockstep.data.readers import ReadCounts, read_pairs, read_texts
from lockstep.data.sources import Source

DATA = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["data"]
DETECTED = ("utf-8", "utf-8-sig", "utf-16", "utf-32")
SHARED_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
PAIRS = st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=8)
CODECS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be", "utf-7", "gb18030"])


def read(path: Path, codec: str) -> list[tuple[str, str]]:
    """The pairs of a file; an encoding that can't be detected is named in the settings."""
    data = Data(**{**DATA, "encoding": "auto" if codec in DETECTED else codec})
    return [(question, answer) for _, question, answer in read_pairs(Source(path, path.name), data, ReadCounts())]


@SHARED_FOLDER
@given(
    PAIRS,
    st.sampled_from(",;\t|"),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    st.sampled_from(["\n", "\r\n"]),
    CODECS,
)
def test_any_table_comes_back_as_it_was_written(
    tmp_path: Path, pairs: list[tuple[str, str]], delimiter: str, quoting: Any, ending: str, codec: str
) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator=ending)
    writer.writerows([("question", "answer"), *pairs])
    (tmp_path / "t.csv").write_bytes(text.getvalue().encode(codec))
    assert read(tmp_path / "t.csv", codec) == pairs


@SHARED_FOLDER
@given(PAIRS, st.booleans(), st.sampled_from([None, 1, "\t"]), st.booleans(), CODECS)
def test_any_json_comes_back_as_it_was_written(
    tmp_path: Path, pairs: list[tuple[str, str]], ascii_only: bool, indent: Any, lines: bool, codec: str
) -> None:
    rows = [{"id": number, "question": q, "answer": a} for number, (q, a) in enumerate(pairs)]
    written = [json.dumps(row, ensure_ascii=ascii_only) for row in rows]
    text = "\n".join(written) if lines else json.dumps(rows, ensure_ascii=ascii_only, indent=indent)
    (tmp_path / "t.json").write_bytes(text.encode(codec))
    assert read(tmp_path / "t.json", codec) == pairs


@SHARED_FOLDER
@given(st.lists(CELLS, max_size=12), st.integers(0, 40), CODECS)
def test_of_any_text_nothing_but_white_space_is_lost(tmp_path: Path, parts: list[str], size: int, codec: str) -> None:
    text = "\n\n".join(parts)
    assume(text)
    (tmp_path / "t.txt").write_bytes(text.encode(codec))
    passages = read_texts(
        Source(tmp_path / "t.txt", "t.txt"),
        Data(**{**DATA, "passage_chars": size, "encoding": "auto" if codec in DETECTED else codec}),
        ReadCounts(),
    )
    assert "".join("".join(passage.text for passage in passages).split()) == "".join(text.split())
