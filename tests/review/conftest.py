"""A branch beside main, for what compares two revisions."""

import json
import shutil
from pathlib import Path

import pytest
from projects import Project
from repositories import commit, git


@pytest.fixture
def branch(after: Project) -> Project:
    """main holds one evaluated commit; the branch `change` holds a better model and another setting."""
    for folder in ("data", "models"):
        shutil.rmtree(folder)
    git("init", "--quiet", "--initial-branch", "main")
    commit("first")
    git("checkout", "--quiet", "-b", "change")
    metrics = after.json("metrics/evaluate.json")
    metrics["tuned"]["perplexity"] *= 0.9
    metrics["leakage"] = 0
    after.put("metrics/evaluate.json", json.dumps(metrics))
    lines = [json.loads(line) for line in Path("metrics/answers.jsonl").read_text().splitlines()]
    next(line for line in lines if line["kind"] == "new")["tuned"] = "A <b>bold</b> | @answer [x](http://y)"
    after.put("metrics/answers.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    after.set("train", epochs=7)
    commit("second")
    return after
