"""The cells of CSV, TSV and Parquet files, each row with the line where it begins."""

from pathlib import Path

import pytest

from lockstep.core.errors import LockstepError
from lockstep.data.columns import NumberedCells
from lockstep.data.csv_tables import find_delimiter, read_parquet, read_table


def table(folder: Path, text: str, name: str = "t.csv", **settings: object) -> list[NumberedCells]:
    path = folder / name
    path.write_bytes(text.encode())
    return list(read_table(path, "utf-8", **settings))  # type: ignore[arg-type]


def test_line_is_where_the_row_begins_also_after_cells_of_many_lines(tmp_path: Path) -> None:
    text = 'q,a\n"one\ntwo\nthree",x\n\ny,z\r\n"last\r\n",w'
    rows = table(tmp_path, text)
    assert [line for line, _ in rows] == [2, 6, 7]
    assert [cells["q"] for _, cells in rows] == ["one\ntwo\nthree", "y", "last\r\n"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiter_is_found(tmp_path: Path, delimiter: str) -> None:
    text = (
        f"q{delimiter}a\nWell, who; where?{delimiter}here\n"
        if delimiter not in ",;"
        else f"q{delimiter}a\nb{delimiter}c\n"
    )
    (tmp_path / "t.csv").write_text(text)
    assert find_delimiter(tmp_path / "t.csv", "utf-8") == delimiter


def test_delimiter_is_not_found_inside_quotes(tmp_path: Path) -> None:
    assert table(tmp_path, '"q";"a, b, c"\n"1, 2";"x, y, z"\n') == [(2, {"q": "1, 2", "a, b, c": "x, y, z"})]


@pytest.mark.parametrize("written", [";", "\\t", "tab"])
def test_delimiter_can_be_named(tmp_path: Path, written: str) -> None:
    character = {";": ";"}.get(written, "\t")
    assert table(tmp_path, f"q{character}a,b\n1{character}2\n", delimiter=written) == [(2, {"q": "1", "a,b": "2"})]


def test_delimiter_of_two_characters_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LockstepError, match=r"data\.delimiter = '::'"):
        table(tmp_path, "q,a\n1,2\n", delimiter="::")


def test_columns_without_header_are_numbered(tmp_path: Path) -> None:
    assert table(tmp_path, "hi\thello\n", "t.tsv", header=False) == [(1, {"column_1": "hi", "column_2": "hello"})]


@pytest.mark.parametrize(("row", "width"), [("u,v,w", "3 cells"), ("u", "1 cell")])
def test_ragged_row_is_named_by_its_line(tmp_path: Path, row: str, width: str) -> None:
    with pytest.raises(LockstepError, match=rf"t\.csv line 4: {width} for 2 columns"):
        table(tmp_path, f'q,a\n"x\ny",z\n{row}\n')


def test_empty_cells_beyond_the_last_column_are_let_go(tmp_path: Path) -> None:
    assert table(tmp_path, "q,a\n1,2,,\n3,4\n") == [(2, {"q": "1", "a": "2"}), (3, {"q": "3", "a": "4"})]


def test_quotes_inside_words_are_plain_where_lines_stay_even(tmp_path: Path) -> None:
    rows = table(tmp_path, 'q\ta\n"mi" stands for what?\tmiddle initial\nfive 5" nails\t"\n', "t.tsv")
    assert [list(cells.values()) for _, cells in rows] == [
        ['"mi" stands for what?', "middle initial"],
        ['five 5" nails', '"'],
    ]


def test_quote_that_is_never_closed_hides_no_rows(tmp_path: Path) -> None:
    with pytest.raises(LockstepError, match=r"line 3: a quote is opened and never closed"):
        table(tmp_path, 'q,a\n"a, b",c\n"open,d\ne,f\n')


def test_text_after_a_closing_quote_is_named(tmp_path: Path) -> None:
    with pytest.raises(LockstepError, match=r"line 2: text follows a closing quote"):
        table(tmp_path, 'q,a\n"so, "he" said",b\n')


def test_cell_of_megabytes_is_read(tmp_path: Path) -> None:
    assert len(table(tmp_path, f'q,a\n"{"x" * 2_000_000}",y\n')[0][1]["q"]) == 2_000_000


def test_parquet_rows_are_numbered_from_one(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow.parquet import write_table

    write_table(pa.table({"question": ["a", None], "answer": [["x", "y"], []]}), tmp_path / "t.parquet")
    assert list(read_parquet(tmp_path / "t.parquet")) == [
        (1, {"question": "a", "answer": ["x", "y"]}),
        (2, {"question": None, "answer": []}),
    ]


def test_damaged_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(LockstepError, match="no readable Parquet file"):
        list(read_parquet(tmp_path / "t.parquet"))
