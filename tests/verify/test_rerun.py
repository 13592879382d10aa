"""`make verify` on a pipeline of two tiny scripts: what it says and with which code it ends."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from projects import ROOT
from repositories import commit, dvc, dvc_environment, git, put

from lockstep.core.checksums import write_manifest

pytestmark = [pytest.mark.slow]

PIPELINE = """
stages:
  prepare:
    cmd: python stages/prepare.py
    deps: [data/raw, stages/prepare.py]
    params: [seed]
    outs: [data/prepared]
    metrics: [metrics/prepare.json: {cache: false}]
  train:
    cmd: python stages/train.py
    deps: [data/prepared, stages/train.py]
    outs: [models/finetuned, metrics/provenance/train.json: {cache: false}]
    metrics: [metrics/train.json: {cache: false}]
"""
PREPARE = """
import os
from pathlib import Path
rows = [path.read_text() for path in sorted(Path("data/raw").glob("*.csv"))]
for folder in ("data/prepared", "metrics"):
    os.makedirs(folder, exist_ok=True)
Path("data/prepared/a.txt").write_text("".join(rows))
Path("data/prepared/b.txt").write_text("b")
Path("metrics/prepare.json").write_text('{"rows": %d}' % len(rows))
"""
TRAIN = """
import os, time
from pathlib import Path
loss, machine = os.environ.get("LOSS", "2.0"), os.environ.get("MACHINE", "A")
time.sleep(float(os.environ.get("SLEEP", "0")))
for folder in ("models/finetuned", "metrics/provenance"):
    os.makedirs(folder, exist_ok=True)
Path("models/finetuned/weights").write_text(loss)
Path("metrics/train.json").write_text('{"train_loss": %s}' % loss)
Path("metrics/provenance/train.json").write_text('{"hardware": {"processor": "%s"}, "versions": {}, "base": {}}' % machine)
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository in which the pipeline has run and everything is committed."""
    folder = tmp_path_factory.mktemp("tiny") / "project"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        git("init", "--quiet", "--initial-branch", "main")
        dvc("init", "--quiet")
        files = {"dvc.yaml": PIPELINE, "stages/prepare.py": PREPARE, "stages/train.py": TRAIN, "data/raw/a.csv": "a"}
        files["params.yaml"] = (ROOT / "params.yaml").read_text(encoding="utf-8")
        files[".gitignore"] = "/data/prepared\n/models/finetuned\nsecret*\n"
        for name, content in files.items():
            put(name, content)
        dvc("repro")
        commit()
    return folder


@pytest.fixture
def repository(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it as the current folder, and a folder for temporary files beside it."""
    shutil.copytree(finished, tmp_path / "project")
    (tmp_path / "temporary").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path


def environment(**more: str) -> dict[str, str]:
    return dvc_environment() | {"PYTHONPATH": str(ROOT), "TMPDIR": str(Path("../temporary").absolute())} | more


def verify(*arguments: str, **more: str) -> tuple[int, list[str], str]:
    """Exit code, lines of standard output, standard error."""
    command = [sys.executable, "-m", "lockstep", "verify", *arguments]
    done = subprocess.run(command, env=environment(**more), capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.splitlines(), done.stderr


def rerun_and_commit() -> None:
    dvc("repro")
    commit()


def short() -> str:
    return git("rev-parse", "--short=7", "HEAD").strip()


def test_the_same_bits_end_with_0_and_leave_nothing_behind(repository: Path) -> None:
    before = git("status", "--short", "--ignored")
    assert verify() == (
        0,
        [
            f"verify    {short()} runs again from nothing, in a clone",
            "prepare   bit-exact",
            "train     bit-exact",
            f"verify    {short()} comes out the same, bit for bit: 5 outputs of 2 stages",
        ],
        "",
    )
    assert git("status", "--short", "--ignored") == before
    assert list((repository / "temporary").iterdir()) == []


def test_nothing_comes_from_this_folders_cache_or_models(repository: Path) -> None:
    shutil.rmtree(".dvc/cache")
    shutil.rmtree("models")
    shutil.rmtree("data/prepared")
    assert verify()[0] == 0


def test_random_bytes_in_an_output_are_found_in_the_stage_and_file_that_hold_them(repository: Path) -> None:
    put("stages/prepare.py", PREPARE.replace('write_text("b")', "write_bytes(os.urandom(9))"))
    rerun_and_commit()
    code, lines, errors = verify()
    assert (code, errors) == (1, "")
    assert lines[1:] == [
        "prepare   different: data/prepared/b.txt",
        "train     bit-exact",
        f"verify    {short()} does not come out the same: prepare is the first stage that differs, in data/prepared/b.txt",
    ]
    shutil.rmtree(".dvc/cache")
    assert verify()[1][1] == "prepare   different: a file in data/prepared"


def test_a_time_in_figures_is_found_with_its_key(repository: Path) -> None:
    put("stages/prepare.py", PREPARE.replace('{"rows": %d}\' % len(rows)', '{"rows": 1, "at": %d}\' % __import__("time").time_ns()'))  # fmt: skip
    rerun_and_commit()
    code, lines, _ = verify()
    assert code == 1
    assert lines[1].startswith("prepare   different: metrics/prepare.json (at: 1")
    assert lines[2] == "train     bit-exact"


def test_the_same_machine_with_another_loss_is_different(repository: Path) -> None:
    code, lines, _ = verify(LOSS="2.01")
    assert code == 1
    assert lines[2] == "train     different: metrics/train.json (train_loss: 2.0 -> 2.01) and 1 of its other outputs"


def test_another_machine_with_a_loss_near_enough_is_within_tolerance(repository: Path) -> None:
    code, lines, _ = verify(LOSS="2.02", MACHINE="B")
    assert code == 0
    assert lines[2:] == [
        "verify    other hardware or versions: processor A -> B",
        "train     within tolerance: train_loss 2.0 -> 2.02 (+1.00%, 2% is allowed)",
        f"verify    {short()} comes out within 2%, on other hardware or versions",
    ]


def test_another_machine_with_a_loss_far_away_is_different(repository: Path) -> None:
    code, lines, _ = verify(LOSS="2.2", MACHINE="B")
    assert code == 1
    assert lines[3] == "train     different: train_loss 2.0 -> 2.2 (+10.00%, 2% is allowed)"


@pytest.mark.parametrize("name", ["untracked.csv", "secret.csv"])
def test_data_that_git_does_not_hold_goes_along(repository: Path, name: str) -> None:
    put(f"data/raw/{name}", "more")
    dvc("repro")
    git("add", "dvc.lock", "metrics")
    git("commit", "--quiet", "--message", "run")
    code, lines, _ = verify()
    assert code == 0
    assert lines[0].startswith("verify    data/raw (1 of its files) ")


def test_data_that_dvc_tracks_goes_along(repository: Path) -> None:
    put("data/raw/big.csv", "big")
    dvc("add", "data/raw/big.csv", "--quiet")
    rerun_and_commit()
    code, lines, _ = verify()
    assert code == 0
    assert lines[0].startswith("verify    data/raw (1 of its files) ")
    Path("data/raw/big.csv").unlink()
    errors = verify()[2]
    assert errors.startswith("error: data/raw/big.csv ")
    assert "`dvc pull`" in errors


@pytest.mark.parametrize(
    ("name", "old", "new", "changed"),
    [
        ("params.yaml", "seed: 42", "seed: 43", "params.yaml (seed)"),
        ("stages/prepare.py", "import os", "import  os", "stages/prepare.py"),
        ("data/raw/a.csv", "a", "b", "data/raw"),
        ("metrics/train.json", "2.0", "2.5", "metrics/train.json"),
        ("dvc.yaml", "python stages/train.py", "python  stages/train.py", "dvc.yaml (train)"),
    ],
)
def test_a_lock_that_is_not_of_the_commit_is_refused(
    repository: Path, name: str, old: str, new: str, changed: str
) -> None:
    put(name, Path(name).read_text(encoding="utf-8").replace(old, new, 1))
    commit()
    code, lines, errors = verify()
    assert (code, lines, errors.count("\n")) == (2, [], 1)
    assert errors.startswith("error: dvc.lock ")
    assert f": {changed}. Run `make repro`" in errors
    assert list((repository / "temporary").iterdir()) == []


def test_a_metrics_file_that_was_not_committed_is_refused(repository: Path) -> None:
    git("rm", "--quiet", "--cached", "metrics/train.json")
    put(".gitignore", Path(".gitignore").read_text() + "/metrics/train.json\n")
    commit()
    code, _, errors = verify()
    assert (code, "changed since: metrics/train.json." in errors) == (2, True)


def test_a_stage_that_fails_in_the_clone_says_why(repository: Path) -> None:
    put("secret.txt", "here only")
    put("stages/train.py", "import sys\nopen('secret.txt') if True else 0\n" + TRAIN)
    rerun_and_commit()
    code, lines, errors = verify()
    assert (code, lines[1:]) == (2, ["prepare   bit-exact"])
    assert errors.startswith("error: train ")
    assert errors.endswith(": FileNotFoundError: [Errno 2] No such file or directory: 'secret.txt'\n")


def test_kept_on_demand_the_clone_can_be_looked_at(repository: Path) -> None:
    code, lines, _ = verify("--keep")
    clone = Path(lines[-1].removeprefix("verify    the clone is "))
    assert (code, clone.is_relative_to(repository / "temporary")) == (0, True)
    assert (clone / "models" / "finetuned" / "weights").read_text() == "2.0"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_it_leaves_no_process_and_no_folder(repository: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "lockstep", "verify"]
    with subprocess.Popen(command, env=environment(SLEEP="100"), stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert any(line == "prepare   bit-exact\n" for line in run.stdout)
        assert eventually(lambda: any("stages/train.py" in " ".join(p) for p in inside(repository)))
        run.send_signal(number)
        assert run.wait(timeout=20) == (130 if number != signal.SIGKILL else -signal.SIGKILL)
    assert eventually(lambda: inside(repository) == [] and list((repository / "temporary").iterdir()) == [])


def inside(folder: Path) -> list[list[str]]:
    """Command lines of the living processes that work in the folder for temporary files."""
    lines = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(folder / "temporary"):
                lines.append(process.cmdline())
        except (psutil.Error, OSError):
            continue
    return lines


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether a condition comes true within half a minute."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_a_base_and_an_accelerate_config_that_git_does_not_hold_go_along(repository: Path) -> None:
    text = Path("params.yaml").read_text(encoding="utf-8")
    text = text.replace("base: tiny ", "base: mine ")
    put("params.yaml", text.replace("accelerate_config: none", "accelerate_config: secret.yaml"))
    put(".gitignore", Path(".gitignore").read_text(encoding="utf-8") + "/models/bases\n")
    put("models/bases/mine/config.json", "{}")
    put("models/bases/mine/origin.json", '{"name": "mine", "source": "folder", "from": "model"}')
    write_manifest(Path("models/bases/mine"))
    put("secret.yaml", "{}")
    commit()
    code, lines, errors = verify()
    assert (code, errors) == (0, "")
    assert lines[:2] == [
        "verify    models/bases/mine is not fetched again; a copy of what is here goes along",
        "verify    secret.yaml is not in git; a copy of what is here goes along",
    ]
