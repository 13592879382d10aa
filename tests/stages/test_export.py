"""The export stage: a folder that stands by itself."""

import json
from pathlib import Path

import pytest
import torch
from projects import Project, hashes
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from lockstep.artifacts.prompt import Prompt, read_prompt
from lockstep.core.checksums import write_manifest
from lockstep.core.errors import LockstepError
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
    prompt = tokenizer.apply_chat_template([{"role": "user", "content": "Which paint?"}], return_tensors="pt")
    ids = prompt["input_ids"]
    generated = model.generate(**prompt)
    assert 1 <= generated.shape[1] - ids.shape[1] <= 8
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
def test_weights_have_the_dtype_of_params(after: Project, dtype: str, bytes_each: int) -> None:
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


def test_exporting_before_training_says_what_to_run(project: Project) -> None:
    with pytest.raises(LockstepError, match=r"models/finetuned is missing.*`make train`"):
        project.run("export")


@pytest.mark.parametrize("name", ["train", "evaluate"])
def test_missing_figures_say_what_makes_them_and_keep_the_old_export(after: Project, name: str) -> None:
    before = hashes("models/export")
    Path(f"metrics/{name}.json").unlink()
    with pytest.raises(LockstepError, match=rf"metrics/{name}\.json is missing.*`make {name}`"):
        after.run("export")
    assert hashes("models/export") == before


def test_the_config_names_no_folder_and_no_machine(after: Project) -> None:
    config = json.loads(Path("models/export/config.json").read_text())
    assert "_name_or_path" not in config
    assert "transformers_version" in config
