"""The evaluate stage on a two-layer model: what it writes, and what it refuses."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from projects import Project, hashes
from torch.nn import functional

from lockstep.artifacts.records import iterate_records, read_records, write_records
from lockstep.artifacts.row_store import iterate_rows, read_rows
from lockstep.core.errors import LockstepError
from lockstep.data.prepare_outputs import write_splits
from lockstep.modeling.model import load_model

FIGURES = {"loss", "perplexity", "accuracy", "text_perplexity", "bits_per_byte", "train_loss", "generalization_gap"}
ANSWERED = {"exact_match", "f1", "rouge_l", "chrf", "eos_rate", "length_ratio", "rep_4", "distinct_1", "distinct_2"}
VERBATIM = {"verbatim_rate", "verbatim_wrong_rate", "verbatim_8gram_rate"}


def test_both_models_get_every_figure_and_the_baseline_those_of_answers(finished: Path) -> None:
    metrics = json.loads((finished / "metrics/evaluate.json").read_text())
    assert set(metrics["base"]) == set(metrics["tuned"]) == FIGURES | ANSWERED | VERBATIM
    assert set(metrics["retrieval"]) == {"exact_match", "f1", "rouge_l", "chrf"}
    assert metrics["delta"]["loss_low"] <= metrics["delta"]["loss"] <= metrics["delta"]["loss_high"]
    assert metrics["leakage"] == 0
    assert metrics["checks"]["tuned_batched"] < 1e-4


def test_answers_are_kept_with_their_questions(finished: Path) -> None:
    lines = [json.loads(line) for line in (finished / "metrics/answers.jsonl").read_text().splitlines()]
    assert {"id", "question", "reference", "base", "tuned", "retrieval", "ended", "f1", "chrf"} == set(lines[0])
    assert [line["id"] for line in lines] == sorted(line["id"] for line in lines)
    test = [json.loads(line)["question"] for line in (finished / "data/prepared/test.jsonl").read_text().splitlines()]
    assert {line["question"] for line in lines} <= set(test)


def test_a_second_evaluation_writes_the_same_bytes(after: Project) -> None:
    before = hashes("metrics")
    after.run("evaluate")
    assert hashes("metrics") == before


def test_a_planted_leak_is_counted_by_prepare_and_stops_evaluate(after: Project) -> None:
    before = hashes("metrics/evaluate.json")

    def leaking(paths: dict[str, Path], *arguments: Any) -> dict[str, int]:
        sizes = write_splits(paths, *arguments)
        leak = next(iterate_records(paths["train"]))
        return sizes | {"test": write_records(paths["test"], [leak, *read_records(paths["test"])])}

    after.monkeypatch.setattr("lockstep.data.prepare_outputs.write_splits", leaking)
    after.run("prepare")
    assert after.json("metrics/prepare.json")["leakage"]["questions"] == 1
    with pytest.raises(LockstepError, match=r"1 questions.*`make recheck repro`"):
        after.run("evaluate")
    assert hashes("metrics/evaluate.json") == before


def test_without_answers_their_figures_are_left_out(after: Project) -> None:
    after.set("evaluate", generate=0, show=0)
    after.run("evaluate")
    metrics = after.json("metrics/evaluate.json")
    assert set(metrics["tuned"]) == FIGURES
    assert "retrieval" not in metrics
    assert "evaluate.show is 0" in Path("metrics/samples.md").read_text()


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
    assert metrics["base"]["loss"] == pytest.approx(plain_loss("models/bases/tiny"), abs=1e-4)
    assert metrics["tuned"]["loss"] == pytest.approx(plain_loss("models/finetuned"), abs=1e-4)


def test_perplexity_and_change_follow_from_the_losses(after: Project) -> None:
    metrics = after.json("metrics/evaluate.json")
    for name in ("base", "tuned"):
        assert metrics[name]["perplexity"] == pytest.approx(math.exp(metrics[name]["loss"]), rel=1e-4)
    assert metrics["tuned"]["loss"] < metrics["base"]["loss"]
    assert metrics["delta"]["loss"] == pytest.approx(metrics["tuned"]["loss"] - metrics["base"]["loss"], abs=1e-5)


def test_samples_stand_beside_their_references(after: Project) -> None:
    text = Path("metrics/samples.md").read_text(encoding="utf-8")
    assert text.count("**Reference:** It gets") == 2
    assert text.count("**Fine-tuned:**") == text.count("**Base:**") == 2


def test_evaluating_before_training_says_what_to_run(project: Project) -> None:
    with pytest.raises(LockstepError, match=r"models/finetuned is missing.*`make train`"):
        project.run("evaluate")


def test_no_figure_is_nan_or_infinite(after: Project) -> None:
    json.loads(Path("metrics/evaluate.json").read_text(), parse_constant=lambda name: pytest.fail(name))
