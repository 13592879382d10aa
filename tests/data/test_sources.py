"""data.path and data.files: the files that they name, and their kind."""

from pathlib import Path

import pytest

from lockstep.core.errors import LockstepError
from lockstep.data.sources import Source, find_corrections, find_sources, kind_of


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in (
        "data/b.csv",
        "data/a.json",
        "data/.hidden.csv",
        "data/b.csv.dvc",
        "data/deep/c.csv",
        "data/good.jsonl",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    return tmp_path


def names(where: str, files: str | list[str] = "*", corrections: str | None = None) -> list[str]:
    return [source.name for source in find_sources(where, files, corrections)]


def test_file_is_itself() -> None:
    assert names("data/b.csv", files="ignored") == ["data/b.csv"]


def test_folder_gives_its_data_files_in_order() -> None:
    assert names("data") == ["data/a.json", "data/b.csv", "data/good.jsonl"]


def test_corrections_are_no_data_of_their_folder() -> None:
    assert names("data", corrections="data/good.jsonl") == ["data/a.json", "data/b.csv"]


def test_corrections_by_another_name_are_set_apart_too(folder: Path) -> None:
    (folder / "other").symlink_to("data")
    assert names("data", corrections="other/good.jsonl") == ["data/a.json", "data/b.csv"]


def test_corrections_named_as_the_data_keep_their_verdicts() -> None:
    assert find_sources("data/good.jsonl", "*", "data/good.jsonl")[0].corrections
    assert not find_sources("data/b.csv", "*", "data/good.jsonl")[0].corrections


def test_several_patterns_give_each_file_once() -> None:
    assert names("data", ["*.csv", "b.*", "**/*.csv"]) == ["data/b.csv", "data/deep/c.csv"]


def test_absolute_path_does_not_reach_the_records(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert names(str(folder / "data/b.csv")) == ["data/b.csv"]
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "x.csv").write_text("x")
    assert names(str(elsewhere)) == [f"{elsewhere.name}/x.csv"]
    assert names(str(elsewhere / "x.csv")) == ["x.csv"]


@pytest.mark.parametrize(
    ("where", "files", "problem"),
    [
        ("data/bb.csv", "*", r"no such file or folder\. Did you mean data/b\.csv\?"),
        ("dota/b.csv", "*", r"no such file or folder\. There is no folder dota"),
        ("data/*.csv", "*", "Put the folder into data.path and the pattern into data.files"),
        ("data", "*.tsv", r"no file matches data\.files = '\*\.tsv'\. It holds a\.json, b\.csv"),
        ("data", ["*.csv", "../x.csv"], r"data\.files = '\.\./x\.csv' leaves data"),
        ("data", "**x", "can only be an entire path component"),
    ],
)
def test_path_that_means_nothing_is_refused(where: str, files: str | list[str], problem: str) -> None:
    with pytest.raises(LockstepError, match=problem):
        names(where, files)


def test_empty_folder_says_so(folder: Path) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(LockstepError, match="The folder is empty"):
        names("empty")


def test_folder_of_corrections_alone_says_so() -> None:
    with pytest.raises(LockstepError, match="holds nothing but the corrections"):
        names("data", "good.jsonl", corrections="data/good.jsonl")


@pytest.mark.parametrize(("content", "count"), [(None, 0), ("", 0), (" \n", 0), ('{"question": "q"}\n', 1)])
def test_corrections_may_be_missing_or_empty(folder: Path, content: str | None, count: int) -> None:
    if content is not None:
        (folder / "c.jsonl").write_text(content)
    assert len(find_corrections("c.jsonl")) == count


def sources(*names: str) -> list[Source]:
    return [Source(Path(name), name) for name in names]


@pytest.mark.parametrize(
    ("files", "wanted", "kind"),
    [
        (["a.CSV", "b.json", "c.parquet"], "auto", "qa"),
        (["a.txt", "b.MD"], "auto", "text"),
        (["dialog.txt"], "qa", "qa"),
    ],
)
def test_kind_goes_by_the_endings(files: list[str], wanted: str, kind: str) -> None:
    assert kind_of(sources(*files), wanted) == kind


@pytest.mark.parametrize(
    ("files", "wanted", "problem"),
    [
        (["a.csv", "b.txt"], "auto", r"b\.txt is a text, a\.csv is a table"),
        (["a.xlsx", "b.csv", "c.doc"], "auto", r"a\.xlsx \(and 1 more\): .* \.xlsx"),
        (["a.csv"], "text", r"data\.kind text .* \.csv"),
        (["README"], "auto", "files ending in nothing"),
    ],
)
def test_files_that_can_not_be_read_together_are_refused(files: list[str], wanted: str, problem: str) -> None:
    with pytest.raises(LockstepError, match=problem):
        kind_of(sources(*files), wanted)
