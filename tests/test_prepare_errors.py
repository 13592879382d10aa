"""Bad input: one line with file, line or key, what was found, what to do; exit code 2; nothing already made is lost."""

import subprocess
import sys
from pathlib import Path

import pytest
from preparing import ROOT, Project, csv_of, faq

from stages.core.errors import LockstepError


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    return Project(tmp_path, monkeypatch)


BLOCKS = "#Q Clouds are made of these.\n^ Water droplets\nA Water droplets\nB Wool\n\n#Q And rain?\n^ Water\n"


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("data.csv", "", r"data/raw/data\.csv is empty"),
        ("data.csv", "question,answer\n", r"data/raw/data\.csv holds no rows"),
        ("data.csv", "name,age\nAnn,3\n", r"known to hold the question and answer; its columns are name, age"),
        ("data.csv", "question,answer\na,b\nc,d,e\n", r"data\.csv line 3: 3 cells for 2 columns"),
        ("data.csv", "question,answer\n,b\nc,\n", r"none of 2 rows can be used \(1 empty question, 1 empty answer\)"),
        ("data.csv", b"PK\x03\x04", r"is a zip archive or an Excel or Word file"),
        ("data.csv", b"question,answer\ncaf\xc3\xa9s,caf\xc3\xa9\nx,\xff\n", r"line 3: byte 0xFF is not utf-8"),
        ("data.xlsx", "x", r"does not read files ending in \.xlsx\. It reads \.csv"),
        ("data.json", '{"a": 1,\n"b": 2}', r"is one JSON object \(keys: a, b\), not an array of objects"),
        ("data.jsonl", '{"question": "a", "answer": "b"}\noops\n', r"data\.jsonl line 2 is not valid JSON"),
        ("data.csv", "question,answer\na,b\nA!,b\n", r"come to 1 without duplicates.*, too few for train, "),
    ],
)
def test_bad_file_is_refused_in_one_line(project: Project, name: str, content: str | bytes, problem: str) -> None:
    project.put(name, content)
    with pytest.raises(LockstepError, match=problem) as caught:
        project.run()
    assert "\n" not in str(caught.value)


def test_missing_file_is_named(project: Project) -> None:
    with pytest.raises(LockstepError, match=r"data\.path = data/raw/data\.csv: no such file"):
        project.run()


def test_format_of_its_own_is_refused_as_questions(project: Project) -> None:
    project.put("trivia.txt", BLOCKS)
    project.set("data", kind="qa")
    with pytest.raises(
        LockstepError, match=r"trivia\.txt is no table: its first line, '#Q Clouds .* set data\.kind to text"
    ):
        project.run()


def test_unknown_verdict_is_named_by_its_line(project: Project) -> None:
    project.put("data.csv", csv_of(faq(5)))
    Path("data/raw/corrections.jsonl").write_text('{"question": "q", "answer": "a", "verdict": "meh"}\n')
    project.set("data", corrections=True)
    with pytest.raises(LockstepError, match=r"corrections\.jsonl line 1: verdict 'meh' is none of good, fixed, bad"):
        project.run()


def test_failure_leaves_what_was_made_before(project: Project) -> None:
    project.put("data.csv", csv_of(faq(9)))
    project.run()
    before = {path: path.read_bytes() for path in sorted(Path().rglob("*.json*"))}
    project.put("data.csv", csv_of(faq(9)) + "one,two,three\n")
    with pytest.raises(LockstepError, match="line 11: 3 cells"):
        project.run()
    assert {path: path.read_bytes() for path in sorted(Path().rglob("*.json*"))} == before
    assert not Path("data/prepared.partial").exists()


def stage(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True)


def test_command_ends_with_code_2_and_one_line(project: Project) -> None:
    project.put("data.csv", "name,age\nAnn,3\n")
    with pytest.raises(LockstepError):
        project.run()
    done = stage("-m", "stages.prepare")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: data/raw/data.csv: no column")
    assert done.stderr.count("\n") == 1


def test_run_by_path_says_how_to_run_it() -> None:
    done = stage(str(ROOT / "stages/prepare.py"))
    assert done.returncode == 2
    assert done.stderr == "error: Run it as `python -m stages.prepare` from the project's root.\n"


def test_help_loads_nothing_heavy() -> None:
    done = stage("-X", "importtime", "-m", "stages.prepare", "--help")
    assert done.returncode == 0
    assert "rejects.jsonl" in done.stdout
    assert not any(name in done.stderr for name in ("numpy", "pandas", "pydantic", "torch"))


def test_stage_never_loads_torch(project: Project) -> None:
    project.put("data.csv", csv_of(faq(5)))
    project.run()
    code = (
        "import sys; sys.argv = ['prepare']; from stages.prepare import main; main(); sys.exit('torch' in sys.modules)"
    )
    assert stage("-c", code).returncode == 0
