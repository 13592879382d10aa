"""Projects in which only prepare runs, and questions to put into them."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from stages import prepare

ROOT = Path(__file__).parents[2]
WORDS = "amber birch cedar delta ember fjord grove heron islet junco kayak lilac maple nymph otter plume"


class Project:
    """A folder with the shipped params.yaml, whose settings a test changes; data goes to data/raw."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
        self.params["tracking"]["enabled"] = False
        self.set("data", path="data/raw/data.csv", corrections=False)
        (folder / "data/raw").mkdir(parents=True, exist_ok=True)
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", ["prepare"])

    def set(self, section: str, **values: Any) -> None:
        """Change settings of one section of params.yaml."""
        self.params[section].update(values)

    def put(self, name: str, content: str | bytes) -> Path:
        """Write a file into data/raw and point data.path at it."""
        path = Path("data/raw") / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        self.set("data", path=str(path))
        return path

    def save(self) -> None:
        """Write params.yaml."""
        Path("params.yaml").write_text(yaml.safe_dump(self.params), encoding="utf-8")

    def run(self) -> dict[str, Any]:
        """Run the stage; returns its metrics."""
        self.save()
        prepare.main()
        return json.loads(Path("metrics/prepare.json").read_text(encoding="utf-8"))

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The rows of data/prepared/NAME.jsonl."""
        text = Path(f"data/prepared/{name}.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]

    def everything(self) -> list[dict[str, Any]]:
        """The rows of all splits and the reworded ones, in the order of their lines."""
        names = ("train", "reworded", "validation", "test")
        rows = [row for name in names if Path(f"data/prepared/{name}.jsonl").exists() for row in self.rows(name)]
        return sorted(rows, key=lambda row: (row["file"], row["line"]))


def faq(count: int, begin: int = 0) -> list[tuple[str, str]]:
    """Unrelated questions with their answers."""
    words = WORDS.split()
    return [
        (f"What colour has {words[i % 16]}{i} {words[i // 16 % 16]}?", f"Number {i} is painted {words[i % 13]}.")
        for i in range(begin, begin + count)
    ]


def csv_of(rows: list[tuple[str, str]], header: str = "question,answer") -> str:
    """CSV text with every cell quoted."""
    return "\n".join([header, *(f'"{question}","{answer}"' for question, answer in rows)]) + "\n"
