"""The evaluate stage as a whole: the figures of both models on rows that neither has seen."""

import math
from pathlib import Path

import pytest
import torch
from projects import Project, hashes
from torch.nn import functional

from lockstep.artifacts.row_store import iterate_rows, read_rows
from lockstep.core.errors import LockstepError
from lockstep.modeling.model import load_model


def plain_loss(folder: str) -> float:
    """Mean -ln p over the answers of the test split, row by row."""
    model = load_model(folder, folder)
    losses = []
    for row in iterate_rows(read_rows(Path("data/tokenized/test"))):
        ids = torch.tensor(row.ids)
        with torch.no_grad():
            logits = model(ids[None]).logits[0, row.answer_start - 1 : -1]
        losses.append(functional.cross_entropy(logits, ids[row.answer_start :], reduction="none"))
    return float(torch.cat(losses).mean())


def test_losses_are_those_of_a_plain_loop_for_both_models(after: Project) -> None:
    metrics = after.json("metrics/evaluate.json")
    assert metrics["base"]["loss"] == pytest.approx(plain_loss("models/base"), abs=1e-4)
    assert metrics["tuned"]["loss"] == pytest.approx(plain_loss("models/finetuned"), abs=1e-4)


def test_perplexity_and_change_follow_from_the_losses(after: Project) -> None:
    metrics = after.json("metrics/evaluate.json")
    for name in ("base", "tuned"):
        assert metrics[name]["perplexity"] == pytest.approx(math.exp(metrics[name]["loss"]), rel=1e-4)
    assert metrics["tuned"]["loss"] < metrics["base"]["loss"]
    assert metrics["delta"]["loss"] == pytest.approx(metrics["tuned"]["loss"] - metrics["base"]["loss"], abs=1e-5)


def test_samples_lie_beside_their_references(after: Project) -> None:
    text = Path("metrics/samples.md").read_text(encoding="utf-8")
    assert text.count("**Reference:** It gets") == 2
    assert text.count("**Fine-tuned:**") == text.count("**Base:**") == 2


def test_the_same_models_give_the_same_figures(after: Project) -> None:
    before = hashes("metrics/evaluate.json") | hashes("metrics/samples.md")
    after.run("evaluate")
    assert hashes("metrics/evaluate.json") | hashes("metrics/samples.md") == before


def test_evaluating_before_training_says_what_to_run(project: Project) -> None:
    with pytest.raises(LockstepError, match=r"models/finetuned is missing\. Run `make train` first"):
        project.run("evaluate")
