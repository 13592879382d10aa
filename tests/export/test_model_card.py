"""The model card of an export."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard
from projects import Project

from lockstep.artifacts.prompt import Prompt
from lockstep.core.errors import LockstepError
from lockstep.export.model_card import model_card


def card_parts() -> tuple[dict[str, object], str]:
    """The front matter and the text of the exported card."""
    _, head, body = Path("models/export/README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(head), body


def test_the_card_holds_the_figures_of_the_metrics(after: Project) -> None:
    head, body = card_parts()
    metrics = after.json("metrics/evaluate.json")
    assert head["pipeline_tag"] == "text-generation"
    for figure in ("loss", "perplexity", "bits_per_byte"):
        assert f"| {metrics['base'][figure]} | {metrics['tuned'][figure]} |" in body
    assert "Question: ...\nAnswer:\n```\n" in body
    assert "`data/raw/colours.csv` (questions and answers)" in body


def test_the_card_counts_right_answers_by_kind_of_question(after: Project) -> None:
    _, body = card_parts()
    questions = after.json("metrics/evaluate.json")["questions"]
    for kind, figures in questions.items():
        right = " | ".join(str(figures[name]["right"]) for name in ("base", "tuned", "retrieval"))
        assert f"| {kind} | {figures['count']} | {right} |" in body
    assert "is\n0.6 or more" in body
    assert "Right answers" not in card_of()


def test_tables_and_headings_have_empty_lines_around_them(after: Project) -> None:
    lines = card_parts()[1].splitlines()
    for number, line in enumerate(lines[1:], start=1):
        if line.startswith("#"):
            assert lines[number - 1] == "", line
        if lines[number - 1].startswith("|"):
            assert line.startswith("|") or line == "", line


def test_the_card_loads_back_with_the_figures_of_this_model(after: Project) -> None:
    loaded = ModelCard.load(Path("models/export/README.md")).data
    tuned = after.json("metrics/evaluate.json")["tuned"]
    names = ("perplexity", "accuracy", "bits_per_byte", "f1")
    assert {result.metric_type: result.metric_value for result in loaded.eval_results} == {n: tuned[n] for n in names}
    assert {(result.task_type, result.dataset_name, result.dataset_split) for result in loaded.eval_results} == {
        ("text-generation", "data/raw/colours.csv", "test")
    }
    assert (loaded.model_name, loaded.library_name, loaded.tags) == ("lockstep-model", "transformers", ["lockstep"])


def origin(name: str, source: str, **more: str) -> dict[str, str]:
    """Where a base is from."""
    return {"name": name, "source": source, "from": name, "licence": "MIT", **more}


def card_of(**changes: Any) -> str:
    """The card of a text model, with some facts changed."""
    figures = dict.fromkeys(("loss", "perplexity", "accuracy", "text_perplexity", "bits_per_byte"), 1.5)
    train = dict.fromkeys(("kept_epoch", "parameters", "tokens"), 1)
    train |= {"device": "cpu", "precision": "fp32", "verdict": "good fit"}
    facts: dict[str, Any] = {
        "title": "mine",
        "base": origin("gpt2", "hub"),
        "data": "a`b",
        "prompt": Prompt(kind="text"),
        "evaluate": {"test_rows": 3, "base": figures, "tuned": figures},
        "train": train,
    }
    return model_card(**facts | changes)


def test_the_card_of_a_text_model_says_that_it_continues_text() -> None:
    card = card_of()
    assert "It continues plain text." in card
    assert "on `a'b` (plain texts)" in card
    assert "f1" not in [result.metric_type for result in ModelCard(card).data.eval_results]


@pytest.mark.parametrize(
    ("base", "base_model", "sentence"),
    [
        (origin("gpt2", "hub"), "gpt2", "Its base is `gpt2` of the Hugging Face Hub, licence MIT."),
        (
            origin("a/b", "hub", licence="unknown"),
            "a/b",
            "Its base is `a/b` of the Hugging Face Hub.",
        ),
        (
            origin("small", "wheel", version="1.0", **{"from": "small-gguf"}),
            None,
            "Its base is `small` from version 1.0 of the package `small-gguf`, licence MIT.",
        ),
        (origin("mine", "folder"), None, "Its base is `mine`, made from the folder `mine`, licence MIT."),
        (origin("mine", "gguf"), None, "Its base is `mine`, made from the file `mine`, licence MIT."),
        ({"name": "scratch", "source": "scratch"}, None, "It was trained from random weights;"),
    ],
)
def test_only_a_base_of_the_hub_is_in_the_front_matter(
    base: dict[str, str], base_model: str | None, sentence: str
) -> None:
    card = card_of(base=base)
    assert ModelCard(card).data.base_model == base_model
    assert sentence in card


def test_a_missing_figure_is_refused_instead_of_left_blank() -> None:
    with pytest.raises(LockstepError, match=r"is damaged: .*accuracy"):
        card_of(evaluate={"test_rows": 3, "base": {"loss": 1, "perplexity": 1}, "tuned": {"loss": 1, "perplexity": 1}})


def test_of_a_path_outside_the_project_the_card_shows_the_last_name_only(after: Project) -> None:
    secret = after.put("secret/colours.csv", Path("data/raw/colours.csv").read_text(encoding="utf-8"))
    after.set("data", path=str(secret.absolute()))
    after.run("export")
    content = Path("models/export/README.md").read_text(encoding="utf-8")
    assert "colours.csv" in content
    assert str(after.folder) not in content
