"""Each preset run from prepare to export on its own sample file, with a two-layer model in place of the Hub's."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hub_server import Hub, local_hub
from projects import ROOT, TRAINED, Project

from lockstep.artifacts.row_store import iterate_rows, read_rows
from lockstep.core.settings import Params, load_params
from lockstep.pretrained.tokenizer import load_tokenizer
from lockstep.review.presets import merge_preset
from stages.chat import generate_response
from tests.pretrained.test_hub import use

ROWS = 80
SAMPLES = {
    "distilgpt2-data-science": "data/raw/data_science.csv",
    "gpt2-hub": "data/raw/data_science.csv",
    "gpt2-medium-chatbot": "data/raw/small_talk.csv",
    "gpt2-medium-story": "data/raw/story.json",
    "distilgpt2-texts": "data/raw/texts",
}


def copy_beginning(project: Project, name: str) -> None:
    """Put the first rows of a sample, or the beginning of each text, into the project."""
    source = ROOT / name
    if source.is_dir():
        for path in sorted(source.glob("*.txt")):
            project.put(f"{name}/{path.name}", path.read_text(encoding="utf-8")[:5000])
    elif source.suffix == ".json":
        project.put(name, json.dumps(json.loads(source.read_text(encoding="utf-8"))[:ROWS]))
    else:
        with open(source, encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))[: ROWS + 1]
        text = io.StringIO()
        csv.writer(text).writerows(rows)
        project.put(name, text.getvalue())


def follow(project: Project, name: str, base: str = "tiny", **export: Any) -> Params:
    """Merge a preset, run it for one epoch on a base here, and return the settings as the preset left them."""
    copy_beginning(project, SAMPLES[name])
    (project.folder / "params.yaml").write_text((ROOT / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    merge_preset(name, Path("params.yaml"), ROOT / "presets")
    settings = load_params()
    project.params = settings.model_dump()
    project.params["gates"] = {}
    for section, key in (("data", "context"), ("export", "hub_repo"), ("tokenize", "pad_token")):
        project.params[section][key] = project.params[section][key] or "none"
    project.set("export", **export)
    project.set("model", base=base, revision="none")
    project.set("train", epochs=1)
    project.set("device", name="cpu", precision="fp32", threads=1)
    project.set("generation", max_new_tokens=8)
    project.set("evaluate", show=2, generate=2, bootstrap_resamples=100)
    project.set("tracking", enabled=False)
    project.run(*TRAINED)
    return settings


def shares(project: Project) -> list[float]:
    """The share of each split in the prepared rows, in tenths."""
    rows = project.json("metrics/prepare.json")["rows"]
    rows["train"] += rows.pop("reworded", 0)  # held back of it
    return [round(rows[split] / sum(rows.values()), 1) for split in ("train", "validation", "test")]


def lengths() -> list[int]:
    return [len(row.ids) for row in iterate_rows(read_rows(Path("data/tokenized/train")))]


def test_distilgpt2_data_science_splits_by_lot_pads_truncates_and_evaluates_each_epoch(project: Project) -> None:
    settings = follow(project, "distilgpt2-data-science")
    assert (settings.model.base, settings.split.method, settings.train.packing) == ("distilgpt2", "random", False)
    assert shares(project) == [0.8, 0.1, 0.1]
    assert project.json("metrics/tokenize.json")["truncated"] > 0
    assert max(lengths()) == settings.tokenize.max_length == 200
    assert list(project.json("metrics/train.json")["epochs"]) == ["0", "1"]
    assert all("validation_loss" in epoch for epoch in project.json("metrics/train.json")["epochs"].values())


def test_gpt2_medium_story_trains_ten_epochs_of_128_tokens_with_end_of_text_as_padding(project: Project) -> None:
    settings = follow(project, "gpt2-medium-story")
    assert (settings.model.base, settings.train.epochs, settings.train.early_stopping_patience) == (
        "gpt2-medium",
        10,
        0,
    )
    assert settings.prompt.template == "Question: {question}\nAnswer: {answer}"
    assert max(lengths()) <= settings.tokenize.max_length == 128
    tokenizer = load_tokenizer(Path("models/export"), "export")
    assert tokenizer.pad_token_id == tokenizer.eos_token_id == 0
    assert project.json("metrics/prepare.json")["rows_read"] == ROWS
    assert generate_response("Where does the story take place?", str(Path("models/export").absolute()))


def test_gpt2_medium_chatbot_takes_small_steps_and_tells_fit_and_perplexity(project: Project) -> None:
    settings = follow(project, "gpt2-medium-chatbot")
    train = settings.train
    assert (settings.model.base, train.epochs, train.per_device_batch_size) == ("gpt2-medium", 3, 2)
    assert (train.learning_rate, train.weight_decay, settings.tokenize.max_length) == (3e-5, 0.15, 128)
    assert (train.keep, train.early_stopping_patience) == ("best", 1)
    assert shares(project) == [0.8, 0.1, 0.1]
    assert {"validation_loss", "generalization_gap", "verdict"} <= set(project.json("metrics/train.json"))
    assert {"loss", "perplexity"} <= set(project.json("metrics/evaluate.json")["tuned"])


@pytest.mark.enable_socket
def test_gpt2_hub_adds_its_token_checks_the_vocabulary_pushes_and_loads_back(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with local_hub() as hub:
        use(hub.url, monkeypatch, project.folder / "cache")
        settings = follow(project, "gpt2-hub", hub_repo="me/mine")
        assert (settings.model.base, settings.export.push_to_hub, settings.export.hub_private) == ("gpt2", True, True)
        figures = project.json("metrics/tokenize.json")
        assert (figures["vocabulary_tokenizer"], figures["vocabulary_model"]) == (401, 400)
        check_pushed(hub)


def check_pushed(hub: Hub) -> None:
    """What is on the Hub is private, and answers as the folder does."""
    assert hub.repositories["me/mine"].private
    here = generate_response("What is a mean?", str(Path("models/export").absolute()))
    assert generate_response("What is a mean?", "me/mine", hub.repositories["me/mine"].commit) == here


def test_distilgpt2_texts_adds_pad_cuts_chunks_of_200_and_writes_on(project: Project) -> None:
    settings = follow(project, "distilgpt2-texts")
    train, split = settings.train, settings.split
    assert (settings.model.base, train.epochs, train.per_device_batch_size, train.lr_schedule) == (
        "distilgpt2",
        3,
        8,
        "linear",
    )
    assert train.warmup_ratio > 0
    assert split.train / (split.train + split.validation) == pytest.approx(0.85)
    assert split.test > 0
    assert set(lengths()[:-1]) == {200}
    assert load_tokenizer(Path("models/export"), "export").pad_token == "[PAD]"
    assert project.json("models/export/config.json")["vocab_size"] == 401
    assert {"loss", "perplexity"} <= set(project.json("metrics/evaluate.json")["tuned"])
    assert project.json("models/export/prompt.json")["kind"] == "text"
    assert generate_response("The data were", str(Path("models/export").absolute()))


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_the_whole_sample_of_a_preset_can_be_prepared(
    project: Project, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    source = ROOT / SAMPLES[name]
    for path in sorted(source.glob("*.txt")) if source.is_dir() else [source]:
        project.put(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
    (project.folder / "params.yaml").write_text((ROOT / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    merge_preset(name, Path("params.yaml"), ROOT / "presets")
    monkeypatch.setattr("lockstep.core.tracking.track", lambda *_, **__: None)
    project.run("prepare")
    metrics = project.json("metrics/prepare.json")
    assert metrics["kind"] == ("text" if source.is_dir() else "qa")
    assert min(metrics["rows"][split] for split in ("train", "validation", "test")) > 0
    assert metrics["rejected"] == 0


SHAPES = {  # layers, heads, width
    "distilgpt2-data-science": (6, 12, 768),
    "gpt2-hub": (12, 12, 768),
    "gpt2-medium-story": (24, 16, 1024),
    "gpt2-medium-chatbot": (24, 16, 1024),
    "distilgpt2-texts": (6, 12, 768),
}
GPT2_TOKENIZER = ROOT.parent / "shared" / "data" / "gpt2-tokenizer"


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.skipif(not GPT2_TOKENIZER.is_dir(), reason="GPT-2's own tokenizer is not beside the checkout")
@pytest.mark.parametrize("name", SHAPES)
def test_each_recipe_runs_on_random_weights_of_its_bases_exact_shape(project: Project, name: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM, GPT2Config

    from lockstep.modeling.model import save_model
    from lockstep.pretrained.tokenizer import set_pad_token

    layers, heads, width = SHAPES[name]
    tokenizer = load_tokenizer(GPT2_TOKENIZER, "gpt2")
    set_pad_token(tokenizer, None)
    torch.manual_seed(1)
    config = GPT2Config(n_layer=layers, n_head=heads, n_embd=width)
    model = AutoModelForCausalLM.from_config(config).half()
    save_model(model, tokenizer, project.folder / "random")
    project.add_base(project.folder / "random", "gpt2-shape")
    follow(project, name, base="gpt2-shape", push_to_hub=False)
    exported = project.json("models/export/config.json")
    assert (exported["n_layer"], exported["n_head"], exported["n_embd"]) == (layers, heads, width)
    assert project.json("metrics/tokenize.json")["vocabulary_model"] == 50257
    assert exported["vocab_size"] == 50257 + (load_params().tokenize.pad_token is not None)
    losses = project.json("metrics/train.json")["epochs"]
    assert losses["1"]["train_loss"] < losses["0"]["train_loss"]
