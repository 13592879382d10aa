"""The evaluate stage on a two-layer model: what it writes, and what it refuses."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from projects import Project, colour_rows, hashes
from torch.nn import functional

from lockstep.artifacts.records import iterate_records, read_records, write_records
from lockstep.artifacts.row_store import iterate_rows, read_rows
from lockstep.core.errors import LockstepError
from lockstep.data.prepare_outputs import write_splits
from lockstep.modeling.model import load_model

FIGURES = {"loss", "perplexity", "accuracy", "text_perplexity", "bits_per_byte", "train_loss", "generalization_gap"}
ANSWERED = {"exact_match", "f1", "rouge_l", "chrf", "eos_rate", "length_ratio", "rep_4", "distinct_1", "distinct_2"}
OVERLAP = {"exact_match", "f1", "rouge_l", "chrf"}
VERBATIM = {"verbatim_rate", "verbatim_wrong_rate", "verbatim_8gram_rate"}


def test_both_models_get_every_figure_and_the_baseline_those_of_answers(finished: Path) -> None:
    metrics = json.loads((finished / "metrics/evaluate.json").read_text())
    assert set(metrics["base"]) == set(metrics["tuned"]) == FIGURES | ANSWERED | VERBATIM
    assert set(metrics["retrieval"]) == OVERLAP
    assert metrics["delta"]["loss_low"] <= metrics["delta"]["loss"] <= metrics["delta"]["loss_high"]
    assert metrics["leakage"] == 0
    assert metrics["checks"]["tuned_batched"] < 1e-4


@pytest.fixture
def reworded(after: Project) -> Project:
    """A project whose questions have two wordings each, some of which are held back."""
    rows = [(question.replace("Which", "Tell me: which"), answer) for question, answer in colour_rows(60)]
    with Path("data/raw/colours.csv").open("a", encoding="utf-8") as file:
        file.writelines(f'"{question}","{answer}"\n' for question, answer in rows)
    after.run("prepare", "tokenize", "evaluate")
    return after


def answer_lines() -> dict[str, list[dict[str, Any]]]:
    """Kind of question -> the lines of metrics/answers.jsonl."""
    lines = [json.loads(line) for line in Path("metrics/answers.jsonl").read_text(encoding="utf-8").splitlines()]
    return {kind: [line for line in lines if line["kind"] == kind] for kind in ("known", "reworded", "new")}


def test_answers_are_kept_with_their_questions(reworded: Project) -> None:
    files = {"known": "train", "reworded": "reworded", "new": "test"}
    fields = {"id", "kind", "question", "reference", "base", "tuned", "retrieval", "ended", "right", "f1", "chrf"}
    for kind, lines in answer_lines().items():
        rows = Path(f"data/prepared/{files[kind]}.jsonl").read_text(encoding="utf-8").splitlines()
        ids = sorted(json.loads(row)["id"] for row in rows)
        assert [line["id"] for line in lines] == ids[: 4 if kind == "new" else 3]
        assert set(lines[0]) == fields


def test_each_kind_of_question_gets_its_figures(reworded: Project) -> None:
    metrics, lines = reworded.json("metrics/evaluate.json"), answer_lines()
    assert list(metrics["questions"]) == list(lines)
    for kind, figures in metrics["questions"].items():
        asked = lines[kind]
        assert (figures["count"], figures["tuned"]["right"]) == (len(asked), sum(line["right"] for line in asked))
        assert figures["tuned"]["f1"] == pytest.approx(sum(line["f1"] for line in asked) / len(asked), abs=1e-4)
        difference = figures["tuned"]["f1"] - figures["retrieval"]["f1"]
        assert figures["vs_retrieval"] == {"f1": pytest.approx(difference, abs=1e-4)}  # too few for an interval
        assert all(set(figures[name]) == OVERLAP | {"right", "right_rate"} for name in ("base", "tuned", "retrieval"))


def test_looking_up_a_known_question_finds_its_row_and_the_new_ones_have_the_figures_of_old(reworded: Project) -> None:
    metrics = reworded.json("metrics/evaluate.json")
    known, new = metrics["questions"]["known"], metrics["questions"]["new"]
    assert known["retrieval"]["right"] == known["count"]
    for name in ("base", "tuned", "retrieval"):
        assert {key: new[name][key] for key in OVERLAP} == {key: metrics[name][key] for key in OVERLAP}


def test_right_answers_are_printed_first_and_of_nine_test_rows_no_change_is_claimed(
    after: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    after.run("evaluate")
    lines = [line.removeprefix("evaluate").strip() for line in capsys.readouterr().out.splitlines()]
    assert lines[0].startswith("Right answers: 0 of 3 training questions in their own words, 0 of 4 new (right: ")
    assert lines[1].startswith("4 new questions are too few to show whether it beats looking up")
    assert lines[-1].startswith("9 independent test questions are too few to show a difference; perplexity")


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
    after.set("evaluate", generate=0, generate_known=0, show=0)
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
    assert text.count("**Reference:** It gets") == 4  # evaluate.show of each kind
    assert text.count("**Fine-tuned (") == text.count("**Base (") == 4


def test_evaluating_before_training_says_what_to_run(project: Project) -> None:
    with pytest.raises(LockstepError, match=r"models/finetuned is missing.*`make train`"):
        project.run("evaluate")


def test_no_figure_is_nan_or_infinite(after: Project) -> None:
    json.loads(Path("metrics/evaluate.json").read_text(), parse_constant=lambda name: pytest.fail(name))
