"""What measures data at scale, generation and start-up: it runs, and its figures mean what they say."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from projects import ROOT
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from benchmarks import data_scale, generation, plain_tokenize, startup
from benchmarks.generated_data import Writer, question_rows, write_questions, write_texts
from benchmarks.page_section import write_section
from benchmarks.watched import watched

TEXTS = ROOT / "data/raw/texts"


def test_generated_rows_are_the_same_each_time_and_repeat_and_resemble_each_other() -> None:
    rows, again = (list(question_rows(Writer(TEXTS, sentences=200), 2000)) for _ in range(2))
    assert rows == again
    assert 10 <= 2000 - len(set(rows)) <= 40
    asked = [question.split(" ", 3)[-1] for question, _ in rows if question.startswith("Please explain")]
    assert len(asked) > 20
    assert all(any(other.endswith(topic) for other, _ in rows) for topic in asked)


def test_generated_texts_have_the_size_asked_for(tmp_path: Path) -> None:
    write_texts(tmp_path, Writer(TEXTS, sentences=200), 1_000_000, files=2)
    size = sum(path.stat().st_size for path in tmp_path.glob("*.txt"))
    assert 1_000_000 <= size < 1_300_000


def test_a_command_is_watched_with_the_processes_it_starts(tmp_path: Path) -> None:
    child = "import time; kept = b'x' * 60_000_000; time.sleep(1)"
    cost = watched(
        [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"], tmp_path
    )
    assert cost.seconds > 1
    assert 60 < cost.largest_mb <= cost.peak_mb < 300
    assert cost.cores < 1


def test_a_command_that_fails_is_no_measurement(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        watched([sys.executable, "-c", "import sys; sys.exit('no such thing')"], tmp_path)
    assert (caught.value.returncode, caught.value.output) == (1, "no such thing\n")


def test_exponents_are_the_slope_over_sizes() -> None:
    assert data_scale.exponent([10, 100, 1000], [3, 30, 300]) == pytest.approx(1)
    assert data_scale.exponent([10, 100], [1, 100]) == pytest.approx(2)
    lines = [
        {"kind": "questions", "step": "prepare", "amount": amount, "seconds": seconds, "processor_seconds": amount}
        for amount, seconds in ((1000, 900), (10, 10), (100, 90))
    ]
    assert data_scale.exponents(lines) == {"questions: prepare": {"all": 0.98, "largest": 1.0, "processor": 1.0}}


def test_every_way_to_generate_gives_the_same_tokens(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    texts = ["Question: Which paint?\nAnswer:", "Question: Why does the old bridge of stone get none?\nAnswer:"]
    engine = generation.RecordingEngine(model, tokenizer)
    ways = generation.ways(model, tokenizer, engine, texts, 6)
    made = {name: way() for name, way in ways.items()}
    assert len(made) == 4
    assert all(ids == made["this pipeline"] for ids in made.values())
    assert max(map(len, made["this pipeline"])) == 6
    first = generation.first_token_seconds(model, tokenizer, engine, texts, 6)
    assert len(first) == 3
    assert all(0 < seconds < 60 for seconds in first.values())


def test_the_plain_script_pads_questions_and_cuts_texts_in_blocks(tmp_path: Path, tokenizer: Any) -> None:
    writer = Writer(TEXTS, sentences=50)
    write_questions(tmp_path / "rows.csv", writer, 20)
    write_texts(tmp_path / "texts", writer, 40_000, files=1)
    padded = plain_tokenize.questions(tmp_path / "rows.csv", tokenizer)
    assert {len(ids) for ids in padded["train"]["input_ids"]} == {128}
    assert len(padded["train"]) + len(padded["test"]) == 20
    blocks = plain_tokenize.texts(tmp_path / "texts", tokenizer)
    assert {len(ids) for ids in blocks["train"]["labels"]} == {128}


def test_a_section_of_the_page_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A\n<!-- one: begin -->\nold\n<!-- one: end -->\n<!-- two: begin -->\nkept\n<!-- two: end -->\n")
    write_section("one", "new", page)
    assert (
        page.read_text()
        == "# A\n<!-- one: begin -->\nnew\n<!-- one: end -->\n<!-- two: begin -->\nkept\n<!-- two: end -->\n"
    )


@pytest.mark.parametrize("name", ["data at scale", "generation", "start-up"])
def test_the_page_has_a_place_for_each_table(name: str) -> None:
    page = (ROOT / "docs/performance.md").read_text(encoding="utf-8")
    assert page.count(f"<!-- {name}: begin -->\n") == page.count(f"<!-- {name}: end -->") == 1


def test_the_median_of_some_runs_is_taken(tmp_path: Path) -> None:
    assert startup.median([sys.executable, "-c", "pass"], tmp_path, 3)["seconds"] < 30
    assert "train" in startup.COMMANDS


@pytest.mark.slow
@pytest.mark.parametrize("size", [data_scale.Size("questions", 60), data_scale.Size("texts", 60_000)], ids=str)
def test_each_step_of_data_at_scale_runs(tmp_path: Path, size: data_scale.Size) -> None:
    data = data_scale.make_project(tmp_path, size)
    costs = {step: data_scale.measure(step, tmp_path, data) for step in data_scale.STEPS}
    assert costs["prepare"]["rows"]["train"] > 0
    assert costs["tokenize"]["tokens"] > 1000
    assert all(cost["seconds"] > 0 for cost in costs.values())
