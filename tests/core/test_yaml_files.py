"""YAML is read with nothing lost, and what is wrong in a file is named with its line."""

from pathlib import Path

import pytest

from lockstep.core.errors import LockstepError
from lockstep.core.yaml_files import read_yaml


def test_values_have_yaml_s_own_types(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: {b: 1, c: 2.5}\nd: [x, true]\ne:\n")
    assert read_yaml(path) == {"a": {"b": 1, "c": 2.5}, "d": ["x", True], "e": None}


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"a: 1\nb: 2\na: 3\n", "line 3 .*: a is"),
        (b"a:\n  b: 1\n  b: 2\n", "line 3 .*: b is"),
        (b"a: 1\nb: 2024-13-45\n", "line 2 .*: 2024-13-45 "),
        (b"a: 1\n\tb: 2\n", "line 2 .* a tab "),
        (b"a: [1\nb: 4", r"line 1 .* a \["),
        (b'a: 1\nb: "x\n', "line .* a quote "),
        (b"a: 1\nb: c: d\n", "line 2 .* a colon "),
        (b"a: 1\nb: \x07\n", "line 2 .* control character"),
        (b"a: 1\n---\nb: 2\n", "line 2 .* second document"),
        (b"a: 1\nb: \xff\n", r"line 2 .*UTF-8"),
        (b"[" * 10_000, "brackets"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, content: bytes, named: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(content)
    with pytest.raises(LockstepError, match=rf"a\.yaml .*{named}"):
        read_yaml(path)


def test_a_missing_file_says_where_to_run() -> None:
    with pytest.raises(LockstepError, match=r"^nowhere/a\.yaml .*root folder"):
        read_yaml(Path("nowhere/a.yaml"))


def test_a_folder_in_its_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(LockstepError, match=tmp_path.name):
        read_yaml(tmp_path)
