"""The evaluate stage on a two-layer model: what it writes, what it refuses."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from projects import Project, hashes

from lockstep.artifacts.records import Question, Text, iterate_records, read_records, write_records
from lockstep.core.checksums import write_manifest
from lockstep.core.errors import LockstepError
from lockstep.data.prepare_outputs import write_splits
from lockstep.evaluation.answers import draw_questions, samples_markdown
from lockstep.evaluation.memorization import verbatim_metrics
from lockstep.evaluation.retrieval_baseline import nearest_questions
from lockstep.evaluation.verdict import caveats, number, percent, verdict

FIGURES = {"loss", "perplexity", "accuracy", "text_perplexity", "bits_per_byte", "train_loss", "generalization_gap"}
ANSWERED = {"exact_match", "f1", "rouge_l", "chrf", "eos_rate", "length_ratio", "rep_4", "distinct_1", "distinct_2"}
VERBATIM = {"verbatim_rate", "verbatim_wrong_rate", "verbatim_8gram_rate"}


def question(number: int, text: str, answer: str) -> Question:
    return Question(f"{number:016x}", f"{number:016x}", text, answer, "a.csv", number)


def test_both_models_get_every_figure_and_the_rival_its_own(finished: Path) -> None:
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
        learnt = next(iterate_records(paths["train"]))
        return sizes | {"test": write_records(paths["test"], [learnt, *read_records(paths["test"])])}

    after.monkeypatch.setattr("lockstep.data.prepare_outputs.write_splits", leaking)
    after.run("prepare")
    assert after.json("metrics/prepare.json")["leakage"]["questions"] == 1
    message = r"Held-out rows were seen in training: 1 questions.* Run `make prepare` to split the data again\.$"
    with pytest.raises(LockstepError, match=message):
        after.run("evaluate")
    assert hashes("metrics/evaluate.json") == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"leakage\.json is missing\. Run `make prepare` first\.$"),
        ("{", r"leakage\.json line 1 is not valid JSON\. Run `make prepare` to make it again\.$"),
    ],
)
def test_without_the_counts_of_leakage_nothing_is_evaluated(after: Project, content: str | None, message: str) -> None:
    path = Path("data/prepared/leakage.json")
    path.unlink()
    if content is not None:
        path.write_text(content)
    write_manifest(path.parent)
    with pytest.raises(LockstepError, match=message):
        after.run("evaluate")


def test_an_empty_test_split_is_one_clear_line(after: Project) -> None:
    import shutil

    from lockstep.artifacts.row_store import write_rows

    shutil.rmtree("data/tokenized/test")
    write_rows(Path("data/tokenized/test"), [])
    write_manifest(Path("data/tokenized"))
    with pytest.raises(LockstepError, match=r"test split is empty.*split\.test"):
        after.run("evaluate")


def test_wrong_labels_stop_the_stage(after: Project) -> None:
    from lockstep.artifacts.row_store import iterate_rows, read_rows, write_rows
    from lockstep.artifacts.rows import Row, RowBlock

    rows = list(iterate_rows(read_rows(Path("data/tokenized/test"))))
    shutil.rmtree("data/tokenized/test")
    wrong = [Row([*row.ids[:-1], 5], row.target_start, row.answer_start) for row in rows]
    write_rows(Path("data/tokenized/test"), [RowBlock.of(wrong)])
    write_manifest(Path("data/tokenized"))
    with pytest.raises(LockstepError, match="does not end in one supervised end-of-text"):
        after.run("evaluate")


def test_no_answers_wanted_leaves_their_figures_out(after: Project) -> None:
    after.set("evaluate", generate=0, show=0)
    after.run("evaluate")
    metrics = after.json("metrics/evaluate.json")
    assert set(metrics["tuned"]) == FIGURES
    assert "retrieval" not in metrics
    assert "evaluate.show is 0" in Path("metrics/samples.md").read_text()


def test_a_memoriser_is_seen() -> None:
    trained = [question(1, "what", "One answer."), question(2, "who", "Another answer")]
    answers = {"tuned": ["one answer", "another answer!"], "base": ["none", ""]}
    figures = verbatim_metrics(answers, ["one answer", "the right one"], trained)
    assert figures["tuned"] == {"verbatim_rate": 1.0, "verbatim_wrong_rate": 0.5, "verbatim_8gram_rate": 0.0}
    assert figures["base"]["verbatim_rate"] == 0


def test_a_copied_passage_of_a_text_is_seen() -> None:
    learnt = "one two three four five six seven eight nine ten"
    trained = [Text("0", "0", f"before {learnt} after", "a.txt", 1)]
    figures = verbatim_metrics({"tuned": [learnt, "quite another " * 5]}, ["", ""], trained)
    assert figures["tuned"]["verbatim_rate"] == 0.5
    assert 0 < figures["tuned"]["verbatim_8gram_rate"] < 1


def test_the_nearest_question_shares_the_rare_words() -> None:
    trained = ["what is the mean of a sample", "what is the variance", "what is a list"]
    assert nearest_questions(trained, ["tell me what variance means", "a list what is", "zebra"]) == [1, 2, 0]
    assert nearest_questions(["?", "!"], ["what"]) == [0]


def test_questions_asked_are_a_draw_that_new_rows_do_not_reorder() -> None:
    old = [question(number, f"q{number}", "a") for number in (7, 3, 9)]
    asked = draw_questions(old, 2)
    assert [one.question for one in asked] == ["q3", "q7"]
    assert [one.question for one in draw_questions([*old, question(8, "new", "a")], 2)] == ["q3", "q7"]


def test_a_text_gives_a_beginning_from_each_long_paragraph() -> None:
    text = Text("5", "5", f"{'word ' * 30}\n\nshort\n\n{'other ' * 30}", "a.txt", 1)
    assert [(one.id, len(one.question.split()), len(one.reference.split())) for one in draw_questions([text], 9)] == [
        ("5-0", 12, 18),
        ("5-1", 12, 18),
    ]


def test_markup_in_answers_stays_text_in_markdown() -> None:
    page = samples_markdown([{"question": "<b>#1</b>", "reference": "*x*", "base": "", "tuned": "a|b"}], "qa")
    assert "\\<b\\>\\#1\\</b\\>" in page
    assert "\\*x\\*" in page
    assert "*(nothing)*" in page


def metrics_with(**tuned: float) -> dict[str, Any]:
    base = {"perplexity": 60.0, "generalization_gap": 0.0, "train_loss": 4.0, "loss": 4.0}
    delta = {"loss_low": -0.8, "loss_high": -0.6, "rows_improved": 0.9}
    return {
        "base": base,
        "tuned": {**base, "perplexity": 30.0, **tuned},
        "delta": delta,
        "leakage": 0,
        "test_rows": 10,
        "kind": "qa",
    }


def test_the_verdict_says_how_much_and_how_sure() -> None:
    metrics = metrics_with()
    assert verdict(metrics) == (
        "It got better: perplexity of held-out answers fell from 60.0 to 30.0 (95% interval −55% to −45%); "
        "90% of 10 rows improved."
    )
    metrics["delta"] |= {"loss_low": -0.1, "loss_high": 0.1}
    assert verdict(metrics).startswith("No difference can be shown")
    metrics["delta"] |= {"loss_low": 0.1, "loss_high": 0.2}
    assert verdict(metrics).startswith("It got worse")


@pytest.mark.parametrize(
    ("tuned", "said"),
    [
        ({"train_loss": 0.1, "generalization_gap": 3.0}, "by heart"),
        ({"verbatim_rate": 0.8}, "80% of its answers are training answers"),
        ({"eos_rate": 0.25}, "Only 25% of its answers end"),
        ({"rep_4": 0.5}, "repeats itself"),
    ],
)
def test_what_speaks_against_a_model_is_said(tuned: dict[str, float], said: str) -> None:
    assert caveats(metrics_with()) == []
    assert said in " ".join(caveats(metrics_with(**tuned)))


def test_losing_to_the_nearest_question_is_said() -> None:
    metrics = metrics_with(f1=0.2) | {"retrieval": {"f1": 0.4}, "vs_retrieval": {"f1_high": -0.1}}
    assert "most similar training question" in caveats(metrics)[0]


def test_numbers_are_short_and_shares_never_rounded_to_certainty() -> None:
    assert [number(value) for value in (0, 1234.5, 31.85, 0.0123, 1e-6)] == ["0", "1,234", "31.9", "0.0123", "1.00e-06"]
    assert [percent(value) for value in (1, 0.999, 0.5, 0.001, 0)] == ["100%", "99.9%", "50%", "0.1%", "0%"]
