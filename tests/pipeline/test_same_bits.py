"""The same commit gives the same bytes: in another folder, for another user, in another language and time zone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from projects import colour_rows, hashes
from repositories import commit, dvc_environment, git, make_repository

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

WRITTEN = ("dvc.lock", "data/prepared", "data/tokenized", "models/finetuned", "models/export", "metrics")
NAMES = ("b.csv", "a.csv", "Z.csv", "ä.csv", "i.csv", "I.csv", "sub/a.csv", "10.csv", "9.csv")
BACKWARDS = """
import os
whole = {name: getattr(os, name) for name in ("listdir", "scandir")}

class Entries(list):
    def __enter__(self): return self
    def __exit__(self, *_): pass
    def __next__(self):
        if not self: raise StopIteration
        return self.pop(0)
    def close(self): pass

os.listdir = lambda *arguments: whole["listdir"](*arguments)[::-1]
os.scandir = lambda *arguments: Entries(list(whole["scandir"](*arguments))[::-1])
"""
OTHER_CHARTS = "lines.linewidth: 9\naxes.titlesize: 30\nfont.sans-serif: DejaVu Serif\nxtick.direction: in\n"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Path:
    """A repository with a folder of several data files; nothing has run."""
    folder = tmp_path_factory.mktemp("same-bits") / "repository"
    with pytest.MonkeyPatch.context() as patch:
        project = make_repository(folder, base, patch)
        rows = [f'"{question}","{answer}"' for question, answer in colour_rows(90)]
        for place, name in enumerate(NAMES):
            project.put(
                f"data/raw/many/{name}", "\n".join(["question,answer", *rows[place * 10 : place * 10 + 10]]) + "\n"
            )
        Path("data/raw/colours.csv").unlink()
        project.set("data", path="data/raw/many", files="**/*.csv")
        commit()
    return folder


def run(repository: Path, folder: Path, umask: int, **environment: str) -> dict[str, dict[str, str]]:
    """Clone, run everything there, and return the hash of each file that was written."""
    git("clone", "--quiet", str(repository), str(folder))
    names = [name for name in NAMES if environment.get("PYTHONPATH")]
    for path in [folder / "data/raw/many" / name for name in names]:  # where the system lists by age: in another order
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
    home = Path(environment["HOME"])
    home.mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "repro"],
        cwd=folder,
        env={**dvc_environment(), "DVC_SITE_CACHE_DIR": str(home / "site"), "HF_HOME": str(home / "hf"), **environment},
        umask=umask,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")
    return {name: hashes(folder / name) for name in WRITTEN}


def test_two_clones_in_different_surroundings_give_the_same_bytes(repository: Path, tmp_path: Path) -> None:
    one = {"USER": "anna", "LOGNAME": "anna", "HOME": str(tmp_path / "anna"), "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    first = run(repository, tmp_path / "here", 0o022, PYTHONHASHSEED="1", **one)
    other = tmp_path / "somewhere else" / "über"
    (other / "code").mkdir(parents=True)
    (other / "code" / "sitecustomize.py").write_text(BACKWARDS)
    (other / "matplotlibrc").write_text(OTHER_CHARTS)
    two = {"USER": "zoe", "LOGNAME": "zoe", "HOME": str(other / "home"), "TZ": "Asia/Kathmandu", "LC_ALL": "C"}
    plain = {"PYTHONIOENCODING": "ascii", "MATPLOTLIBRC": str(other / "matplotlibrc")}
    path = os.pathsep.join([str(other / "code"), str(other / "nowhere")])
    second = run(repository, other / "clone", 0o077, PYTHONHASHSEED="2", PYTHONPATH=path, **plain, **two)
    assert second == first
