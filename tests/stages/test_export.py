"""The export: a folder that stands by itself."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from projects import Project, hashes
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from lockstep.artifacts.prompt import Prompt, read_prompt
from lockstep.core.checksums import write_manifest
from lockstep.core.errors import LockstepError
from lockstep.export.model_card import model_card
from lockstep.pretrained.tokenizer import encode, load_tokenizer

EXPORTED = [
    "README.md",
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "prompt.json",
    "receipt.json",
    "tokenizer.json",
    "tokenizer_config.json",
]


def test_exactly_the_files_that_are_needed_are_there(after: Project) -> None:
    assert sorted(hashes("models/export")) == EXPORTED


def test_transformers_loads_it_and_generates_as_params_say(after: Project) -> None:
    model = AutoModelForCausalLM.from_pretrained("models/export")
    tokenizer = AutoTokenizer.from_pretrained("models/export")
    asked = tokenizer.apply_chat_template([{"role": "user", "content": "Which paint?"}], return_tensors="pt")
    ids = asked["input_ids"]
    made = model.generate(**asked)
    assert 1 <= made.shape[1] - ids.shape[1] <= 8
    assert model.config.use_cache is True
    with torch.no_grad():
        tuned = AutoModelForCausalLM.from_pretrained("models/finetuned")
        assert torch.equal(model(ids).logits, tuned(ids).logits)


def test_generation_settings_are_those_of_params(after: Project) -> None:
    after.set("generation", temperature=0.7, top_p=0.9, top_k=40, repetition_penalty=1.2, history_turns=3)
    after.run("export")
    config = GenerationConfig.from_pretrained("models/export")
    assert (config.do_sample, config.temperature, config.top_p, config.top_k) == (True, 0.7, 0.9, 40)
    assert (config.max_new_tokens, config.repetition_penalty, config.eos_token_id) == (8, 1.2, 0)
    assert read_prompt(Path("models/export"), "make export").history_turns == 3


@pytest.mark.parametrize("template", ["Question: {question}\nAnswer: {answer}", "<{question}>\t{answer}</'\\'>"])
def test_the_chat_template_gives_exactly_the_ids_of_training(after: Project, template: str) -> None:
    prompt = Prompt(template=template)
    tokenizer = load_tokenizer(Path("models/finetuned"), "finetuned")
    tokenizer.chat_template = prompt.chat_template(tokenizer.eos_token)
    turns = [("Which paint?", "It gets green paint."), ("And the  bridge, 'today'?\n", 'Violet "paint".')]
    messages, expected = [], []
    for question, answer in turns:
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        ids = encode(tokenizer, [prompt.question_text(question), prompt.answer_text(answer)])
        expected += [*ids[0], *ids[1], tokenizer.eos_token_id]
    assert tokenizer.apply_chat_template(messages)["input_ids"] == expected


def test_the_exported_chat_template_is_the_prompts(after: Project) -> None:
    tokenizer = load_tokenizer(Path("models/export"), "export")
    [ids] = encode(tokenizer, [Prompt().question_text("Which paint?")])
    messages = [{"role": "user", "content": "Which paint?"}]
    assert tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"] == ids


def test_a_tokenizer_with_an_opening_has_it_in_its_chat_template(after: Project) -> None:
    from tokenizers.processors import TemplateProcessing

    tokenizer = load_tokenizer(Path("models/finetuned"), "finetuned")
    special = [(tokenizer.eos_token, tokenizer.eos_token_id)]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<|endoftext|> $A", special_tokens=special)
    tokenizer.save_pretrained("models/finetuned")
    write_manifest(Path("models/finetuned"))
    after.run("export")
    exported = load_tokenizer(Path("models/export"), "export")
    ids = exported.apply_chat_template([{"role": "user", "content": "Which paint?"}])["input_ids"]
    assert ids == [0, *encode(exported, [Prompt().question_text("Which paint?")])[0]]


@pytest.mark.parametrize(("dtype", "bytes_each"), [("fp32", 4), ("bf16", 2), ("fp16", 2)])
def test_weights_take_the_format_asked_for(after: Project, dtype: str, bytes_each: int) -> None:
    after.set("export", dtype=dtype)
    after.run("export")
    parameters = after.json("metrics/train.json")["parameters"]
    assert Path("models/export/model.safetensors").stat().st_size == pytest.approx(parameters * bytes_each, rel=0.1)
    assert (
        after.json("models/export/config.json")["dtype"]
        == {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}[dtype]
    )
    assert AutoModelForCausalLM.from_pretrained("models/export", dtype="auto").dtype.itemsize == bytes_each


def test_the_same_model_gives_the_same_bytes(after: Project) -> None:
    before = hashes("models/export")
    after.run("export")
    assert hashes("models/export") == before


def test_an_added_padding_token_survives_to_the_export(project: Project) -> None:
    project.set("tokenize", pad_token="[PAD]")
    project.run("prepare", "tokenize", "train", "evaluate", "export")
    tokenizer = AutoTokenizer.from_pretrained("models/export")
    model = AutoModelForCausalLM.from_pretrained("models/export")
    assert (tokenizer.pad_token, tokenizer.pad_token_id, len(tokenizer)) == ("[PAD]", 400, 401)
    assert model.config.vocab_size == model.get_output_embeddings().weight.shape[0] == 401
    assert model.generation_config.pad_token_id == model.config.pad_token_id == 400


def card_parts() -> tuple[dict[str, object], str]:
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


def test_the_cards_tables_and_headings_stand_apart(after: Project) -> None:
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


def card_of(**changed: Any) -> str:
    figures = dict.fromkeys(("loss", "perplexity", "accuracy", "text_perplexity", "bits_per_byte"), 1.5)
    train = dict.fromkeys(("kept_epoch", "parameters", "tokens"), 1)
    train |= {"device": "cpu", "precision": "fp32", "verdict": "good fit"}
    facts: dict[str, Any] = {
        "title": "mine",
        "base": "gpt2",
        "data": "a`b",
        "prompt": Prompt(kind="text"),
        "evaluate": {"test_rows": 3, "base": figures, "tuned": figures},
        "train": train,
    }
    return model_card(**facts | changed)


def test_the_card_of_a_text_model_says_what_it_does() -> None:
    card = card_of()
    assert "It continues plain text." in card
    assert "on `a'b` (plain texts)" in card
    assert "f1" not in [result.metric_type for result in ModelCard(card).data.eval_results]


@pytest.mark.parametrize(
    ("base", "base_model", "sentence"),
    [
        ("gpt2", "gpt2", "Its base is `gpt2` of the Hugging Face Hub."),
        ("someone/gpt2", "someone/gpt2", "Its base is `someone/gpt2` of the Hugging Face Hub."),
        ("./models/base", None, "Its base is the model in the folder `models/base`."),
        ("/home/me/secret/base", None, "Its base is the model in the folder `base`."),
        ("scratch", None, "It was trained from random weights;"),
    ],
)
def test_only_a_base_of_the_hub_is_in_the_front_matter(base: str, base_model: str | None, sentence: str) -> None:
    card = card_of(base=base)
    assert ModelCard(card).data.base_model == base_model
    assert sentence in card
    assert "secret" not in card


def test_a_missing_figure_is_not_left_blank_in_the_card() -> None:
    with pytest.raises(LockstepError, match=r"is damaged: .*accuracy"):
        card_of(evaluate={"test_rows": 3, "base": {"loss": 1, "perplexity": 1}, "tuned": {"loss": 1, "perplexity": 1}})


def test_a_data_path_outside_the_project_is_not_told_in_the_card(after: Project) -> None:
    secret = after.put("secret/colours.csv", Path("data/raw/colours.csv").read_text(encoding="utf-8"))
    after.set("data", path=str(secret.absolute()))
    after.set("model", base=str(after.folder / "models" / "base"))
    after.run("export")
    content = Path("models/export/README.md").read_text(encoding="utf-8")
    assert "colours.csv" in content
    assert str(after.folder) not in content


def test_exporting_before_training_says_what_to_run(project: Project) -> None:
    with pytest.raises(LockstepError, match=r"models/finetuned is missing\. Run `make train` first"):
        project.run("export")


@pytest.mark.parametrize(("name", "made_by"), [("train", "make train"), ("evaluate", "make evaluate")])
def test_missing_figures_say_what_makes_them_and_keep_the_old_export(after: Project, name: str, made_by: str) -> None:
    before = hashes("models/export")
    Path(f"metrics/{name}.json").unlink()
    with pytest.raises(LockstepError, match=rf"metrics/{name}\.json is missing\. Run `{made_by}` first"):
        after.run("export")
    assert hashes("models/export") == before


def test_the_config_names_no_folder_and_no_machine(after: Project) -> None:
    config = json.loads(Path("models/export/config.json").read_text())
    assert "_name_or_path" not in config
    assert "transformers_version" in config
