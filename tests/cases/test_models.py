"""Inputs that later stages can't use: damaged folders, bases that are no models, settings that do not fit them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from projects import Project
from refusals import refusal

from lockstep.core.checksums import write_manifest

Change = Callable[[Project], Any]
AGAIN = "Get the model's files again, or choose another base in model.base."
REFETCH = "Run `make base NAME=tiny` to get it again."
TWO_MODELS = f"config.json and weights are of different models. {AGAIN}"
ROW = '{"id": "1", "cluster": "1", "question": "Why?", "answer": "So.", "file": "a.csv", "line": 2}\n'
LONG = "Here is a template of very many words, none of which is of any use to anybody at all: {question} {answer}"


def gone(*names: str) -> Change:
    def change(project: Project) -> None:
        for name in names:
            shutil.rmtree(name) if Path(name).is_dir() else Path(name).unlink()

    return change


def holds(name: str, content: str | bytes) -> Change:
    return lambda project: Path(name).write_bytes(content.encode() if isinstance(content, str) else content)


def emptied(name: str) -> Change:
    return lambda project: (shutil.rmtree(name), Path(name).mkdir())


def cut(name: str) -> Change:
    return lambda project: Path(name).write_bytes(Path(name).read_bytes()[: Path(name).stat().st_size // 2])


def with_keys(name: str, **values: Any) -> Change:
    """A JSON file with some values changed."""
    return lambda project: Path(name).write_text(json.dumps(json.loads(Path(name).read_text()) | values))


def setting(section: str, **values: Any) -> Change:
    return lambda project: project.set(section, **values)


def all_of(*changes: Change) -> Change:
    return lambda project: [change(project) for change in changes]


def from_the_start(*changes: Change) -> Change:
    """A base that was so when it was fetched: its manifest lists the files as the changes leave them."""
    return all_of(*changes, lambda project: write_manifest(Path(BASE)))


BASE = "models/bases/tiny"
CONFIG, WEIGHTS = f"{BASE}/config.json", f"{BASE}/model.safetensors"
BY = "Run `make recheck repro` to make it again."
OFFLINE = "is not in the cache and the Hub can't be reached (LocalEntryNotFoundError). Go online once, or `make preset NAME=tiny`, which needs no network."

BAD: dict[str, tuple[str, Change, str]] = {
    "nothing prepared": (
        "tokenize", gone("data/prepared"), "data/prepared is missing. Run `make prepare` first."),
    "no rows prepared": (
        "tokenize", holds("data/prepared/train.jsonl", ""), f"data/prepared/train.jsonl is not what prepare wrote. {BY}"),
    "prepared row cut off": (
        "tokenize", holds("data/prepared/train.jsonl", ROW + ROW[:40]), f"data/prepared/train.jsonl is not what prepare wrote. {BY}"),
    "prepared row of numbers": (
        "tokenize", holds("data/prepared/train.jsonl", ROW.replace('"So."', "5")), f"data/prepared/train.jsonl is not what prepare wrote. {BY}"),
    "prepared row, nested": (
        "tokenize", holds("data/prepared/test.jsonl", "[" * 100_000), f"data/prepared/test.jsonl is not what prepare wrote. {BY}"),
    "prepared rows that are no text": (
        "tokenize", holds("data/prepared/test.jsonl", b"\xff\xfe"), f"data/prepared/test.jsonl is not what prepare wrote. {BY}"),
    "no base": (
        "tokenize", gone(BASE), f"{BASE} is missing. Run `make base NAME=tiny` first."),
    "empty base": (
        "tokenize", emptied(BASE), f"{BASE}/manifest.json is not what base wrote. {REFETCH}"),
    "base changed by hand": (
        "tokenize", holds(CONFIG, "{}"), f"{CONFIG} is not what base wrote. {REFETCH}"),
    "base that is a path": (
        "base", setting("model", base="./models/mine"), "model.base = ./models/mine is a path, and a name is needed. Run `make base NAME=mine FROM=./models/mine`, then set model.base to mine."),
    "Hub id, offline": ("base", setting("model", base="distilgpt2"), f"distilgpt2 {OFFLINE}"),
    "Hub id with a revision, offline": (
        "base", setting("model", base="some/one", revision="abc"), f"some/one at revision abc {OFFLINE}"),
    "no Hub id": (
        "base", setting("model", base="my model!"), "model.base = my model!: models/bases.yaml has no such base, and no model on the Hub can have this name. `make base` lists the bases there are."),
    "revision of a folder": (
        "base", setting("model", revision="abc"), "model.revision is abc, but tiny is no base of the Hub and has no revisions. Set model.revision to none."),
    "revision of scratch": (
        "tokenize", setting("model", base="scratch", revision="abc"), "params.yaml: model: base scratch has no revision abc; set revision to none. Put it right there."),
    "base whose config is damaged": ("tokenize", from_the_start(holds(CONFIG, "{")), f"{BASE}: config.json is not valid JSON. {AGAIN}"),
    "base whose config says nothing": ("tokenize", from_the_start(holds(CONFIG, "{}")), f"{BASE}: config.json names no model_type. {AGAIN}"),
    "base that translates": (
        "tokenize", from_the_start(with_keys(CONFIG, model_type="t5")), f"{BASE} is of the kind t5, which does not go on from a text. Choose a causal language model, such as distilgpt2, in model.base."),
    "base without weights": ("tokenize", from_the_start(gone(WEIGHTS)), f"{BASE} holds no weights (*.safetensors). {AGAIN}"),
    "base with a pickle": (
        "tokenize", from_the_start(gone(WEIGHTS), holds(f"{BASE}/pytorch_model.bin", b"\x80\x02.")),
        f"{BASE} holds its weights as pytorch_model.bin, a pickle, which may run code when it is loaded. Save them as safetensors once, with Transformers' save_pretrained."),
    "base without tokenizer": (
        "tokenize", from_the_start(gone(f"{BASE}/tokenizer.json")), f"{BASE} has no tokenizer. Put its tokenizer.json beside the weights."),
    "base whose tokenizer is damaged": (
        "tokenize", from_the_start(holds(f"{BASE}/tokenizer.json", "{")), f"The tokenizer of {BASE} can't be loaded: one of its files is not valid JSON. {AGAIN}"),
    "tokenizer of another base": (
        "tokenize", from_the_start(with_keys(CONFIG, vocab_size=300)), "Tokenizer and model do not belong together: the tokenizer's highest id is 399, the model has 300 embeddings. Take both from the same base."),
    "rows longer than the model can see": (
        "tokenize", setting("tokenize", max_length=1024), "tokenize.max_length is 1024, but tiny can look back 256 tokens only. Set it to 256 or less."),
    "rows longer than a model from scratch can see": (
        "tokenize", all_of(setting("model", base="scratch"), setting("tokenize", block_size=1024)),
        "tokenize.block_size is 1024, but scratch can look back 512 tokens only. Set it to 512 or less, or raise model.scratch.context."),
    "template longer than a row": (
        "tokenize", all_of(setting("prompt", template=LONG), setting("tokenize", max_length=16)),
        "prompt.template alone takes 64 tokens, and tokenize.max_length is 16: there is no room for answers. Shorten the template, or raise tokenize.max_length."),
    "row too long": (
        "tokenize", setting("tokenize", max_length=8, overlong="error"), "data/raw/colours.csv line 2: the row takes 21 tokens, tokenize.max_length is 8. Raise it, or set tokenize.overlong to truncate or drop."),
    "every row too long": (
        "tokenize", setting("tokenize", max_length=8, overlong="drop"), "No row of the train split is left. Raise tokenize.max_length or set overlong to truncate."),
    "nothing tokenized": (
        "train", gone("data/tokenized"), "data/tokenized is missing. Run `make tokenize` first."),
    "tokenized folder empty": (
        "train", emptied("data/tokenized"), f"data/tokenized/manifest.json is not what tokenize wrote. {BY}"),
    "tokenized rows cut off": (
        "train", cut("data/tokenized/train/data-00000-of-00001.arrow"), f"data/tokenized/train/data-00000-of-00001.arrow is not what tokenize wrote. {BY}"),
    "tokenizer of the rows missing": (
        "train", gone("data/tokenized/tokenizer"), f"data/tokenized/tokenizer/tokenizer.json is not what tokenize wrote. {BY}"),
    "prompt damaged": (
        "train", holds("data/tokenized/prompt.json", "{"), f"data/tokenized/prompt.json is not what tokenize wrote. {BY}"),
    "prompt without fields": (
        "train", with_keys("data/tokenized/prompt.json", template="Hello"),
        f"data/tokenized/prompt.json is not what tokenize wrote. {BY}"),
    "base whose weights are cut off": (
        "train", from_the_start(cut(WEIGHTS)), f"The model {BASE} can't be loaded: Error while deserializing header: incomplete metadata, file not fully covered. {AGAIN}"),
    "base that is wider than its weights": (
        "train", from_the_start(with_keys(CONFIG, n_embd=64)), f"The model {BASE} can't be loaded: transformer.h.0.attn.c_attn.bias is 96, config.json asks for 192. {TWO_MODELS}"),
    "base that is deeper than its weights": (
        "train", from_the_start(with_keys(CONFIG, n_layer=3)), f"The model {BASE} can't be loaded: transformer.h.2.attn.c_attn.bias and 11 more weights are missing. {TWO_MODELS}"),
    "no such device": (
        "train", setting("device", name="cuda"), "device.name is cuda, but this machine has cpu only. Set it to auto."),
    "learning rate beyond all numbers": (
        "train", setting("train", learning_rate=1e30), "The training loss is not a number any more. Lower train.learning_rate."),
    "no model to evaluate": (
        "evaluate", gone("models/finetuned"), "models/finetuned is missing. Run `make train` first."),
    "model to evaluate without weights": (
        "evaluate", gone("models/finetuned/model.safetensors"), f"models/finetuned/model.safetensors is not what train wrote. {BY}"),
    "no model to export": (
        "export", gone("models/finetuned"), "models/finetuned is missing. Run `make train` first."),
    "figures gone": ("export", gone("metrics/evaluate.json"), "metrics/evaluate.json is missing. Run `make evaluate` first."),
    "figures damaged": (
        "export", holds("metrics/evaluate.json", "{}"),
        "metrics/evaluate.json or metrics/train.json is damaged: 'dict object' has no attribute 'test_rows'. Run `make evaluate` to make them again."),
    "push without a name": (
        "export", setting("export", push_to_hub=True), "export.push_to_hub is true but export.hub_repo names no repository. Set it to owner/name."),
    "report of damaged figures": (
        "report", holds("metrics/prepare.json", "{}"), "The files in metrics/ are damaged: no 'kind'. Run `make repro` again."),
}  # fmt: skip


@pytest.mark.parametrize(("stage", "change", "message"), BAD.values(), ids=BAD.keys())
def test_what_a_stage_can_not_use_is_refused_in_one_line(
    after: Project, monkeypatch: pytest.MonkeyPatch, stage: str, change: Change, message: str
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    change(after)
    assert refusal(stage) == message


EXPORT: dict[str, tuple[Change, str]] = {
    "no export": (gone("models/export"), "models/export holds no model yet. Run `make repro` first."),
    "config damaged": (holds("models/export/config.json", "{"), "models/export: config.json is not valid JSON. Run `make export` to make it again."),
    "no weights": (gone("models/export/model.safetensors"), "models/export/model.safetensors is not the file of receipt.json beside it: it is missing. Take it back with `dvc checkout --force models/export`, or make it anew with `make export`; if you changed it on purpose, delete receipt.json."),
    "no tokenizer": (gone("models/export/tokenizer.json"), "models/export has no tokenizer. Run `make export` to make it again."),
    "prompt damaged": (with_keys("models/export/prompt.json", template="Hi"), "models/export/prompt.json is damaged: it holds no kind, template and history_turns. Run `make export` to make it again."),
    "settings damaged": (holds("models/export/generation_config.json", "{"), "models/export/generation_config.json line 1 is not valid JSON. Run `make export` to make it again."),
    "settings of texts": (with_keys("models/export/generation_config.json", max_new_tokens="many"), "models/export: generation_config.json holds max_new_tokens = 'many'. Run `make export` to make it again."),
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), EXPORT.values(), ids=EXPORT.keys())
def test_export_that_can_not_be_used_is_refused_by_chat_and_serve(after: Project, change: Change, message: str) -> None:
    change(after)
    assert refusal("chat", "--question", "Why?") == message
    assert refusal("serve", "--port", "0") == message


@pytest.mark.parametrize(
    ("stage", "arguments", "change", "message"),
    [
        ("prepare", (), gone("data/raw/colours.csv"), "data.path = data/raw/colours.csv: no such file or folder. Put it right in params.yaml."),
        ("check", (), setting("model", revision="abc"), "model.revision is abc, but tiny is no base of the Hub and has no revisions. Set model.revision to none."),
        ("base", (), all_of(gone(BASE), gone("models/tiny")), f"The base tiny is not whole in {BASE}, and models/tiny, its source, is not here. Add it again: `make base NAME=tiny FROM=...`, or run `dvc pull base`."),
        ("train", (), cut(WEIGHTS), f"{WEIGHTS} is not what base wrote. {REFETCH}"),
        ("chat", ("--question", "Why?"), gone("models/export"), "models/export holds no model yet. Run `make repro` first."),
        ("serve", ("--port", "0"), holds("models/export/config.json", "{}"), "models/export: config.json names no model_type. Run `make export` to make it again."),
    ],
)  # fmt: skip
def test_command_itself_ends_with_code_2_and_that_one_line(
    after: Project, stage: str, arguments: tuple[str, ...], change: Change, message: str
) -> None:
    change(after)
    done = after.command(stage, *arguments)
    assert (done.returncode, done.stderr) == (2, f"error: {message}\n")
