"""The model: initialized at random or loaded, fitted to its tokenizer, saved without traces."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from projects import ROOT, Project
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModelForCausalLM as Causal
from transformers import GPT2Config, GPTNeoXConfig, LlamaConfig, PreTrainedModel, PreTrainedTokenizerFast

from lockstep.core.errors import LockstepError
from lockstep.core.settings import Generation, Model
from lockstep.modeling.model import (
    build_model,
    count_parameters,
    export_dtype,
    generation_config,
    grow_embeddings,
    load_model,
    save_model,
    set_dropout,
)
from lockstep.pretrained.tokenizer import load_tokenizer, set_pad_token

SHIPPED = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
SHAPE = {"vocab_size": 400, "context": 64, "n_layer": 2, "n_head": 2, "n_embd": 32}


def settings(base: str, **changes: Any) -> Model:
    return Model.model_validate({**SHIPPED["model"], "base": base, "scratch": SHAPE, **changes})


def untied() -> PreTrainedModel:
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    torch.manual_seed(0)
    return Causal.from_config(LlamaConfig(vocab_size=50, tie_word_embeddings=False, **shape)).eval()


def test_new_embeddings_are_the_mean_of_the_old(model: PreTrainedModel) -> None:
    old = model.get_input_embeddings().weight.detach().clone()
    grow_embeddings(model, 403)
    new = model.get_input_embeddings().weight
    assert torch.equal(new[:400], old)
    assert torch.allclose(new[400:], old.mean(dim=0).expand(3, -1), atol=1e-6)
    assert model.config.vocab_size == 403
    assert new is model.get_output_embeddings().weight


def test_separate_output_embeddings_grow_by_their_own_mean() -> None:
    model = untied()
    table = model.get_output_embeddings().weight.detach().clone()
    grow_embeddings(model, 52)
    assert torch.allclose(model.get_output_embeddings().weight[50:], table.mean(dim=0).expand(2, -1), atol=1e-6)
    assert not torch.allclose(model.get_output_embeddings().weight[50], model.get_input_embeddings().weight[50])


def test_old_logits_stay_and_a_new_token_never_stands_out(model: PreTrainedModel) -> None:
    ids = torch.arange(60)[None]
    with torch.no_grad():
        before = model(ids).logits
        grow_embeddings(model, 401)
        after = model(ids).logits
    assert torch.allclose(after[..., :400], before, atol=1e-6)
    assert not (after.argmax(dim=-1) == 400).any()


def test_a_model_with_room_to_spare_is_left_as_it_is(model: PreTrainedModel) -> None:
    grow_embeddings(model, 300)
    assert model.get_input_embeddings().weight.shape[0] == 400


def test_dropout_is_set_everywhere_but_in_attention(model: PreTrainedModel) -> None:
    set_dropout(model, 0.25)
    shares = {name: module.p for name, module in model.named_modules() if isinstance(module, nn.Dropout)}
    assert {share for name, share in shares.items() if "attn_dropout" in name} == {0.0}
    assert {share for name, share in shares.items() if "attn_dropout" not in name} == {0.25}
    assert (model.config.embd_pdrop, model.config.resid_pdrop, model.config.attn_pdrop) == (0.25, 0.25, 0.0)


def test_dropout_of_other_families_is_set_too() -> None:
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = Causal.from_config(GPTNeoXConfig(vocab_size=50, hidden_dropout=0.3, attention_dropout=0.3, **shape))
    set_dropout(model, 0.2)
    assert (model.config.hidden_dropout, model.config.attention_dropout) == (0.2, 0.0)
    assert {module.p for module in model.modules() if isinstance(module, nn.Dropout)} <= {0.2, 0.0}


def test_without_a_setting_dropout_is_that_of_the_base(project: Project, tokenizer: PreTrainedTokenizerFast) -> None:
    assert build_model(settings("tiny", dropout="none"), tokenizer).config.attn_pdrop == 0.1


def test_a_model_from_scratch_has_the_shape_of_the_settings(tokenizer: PreTrainedTokenizerFast) -> None:
    torch.manual_seed(1)
    model = build_model(settings("scratch"), tokenizer)
    config = model.config
    assert (config.n_layer, config.n_head, config.n_embd, config.n_positions) == (2, 2, 32, 64)
    assert (config.vocab_size, config.eos_token_id, config.pad_token_id) == (400, 0, 0)
    torch.manual_seed(1)
    again = build_model(settings("scratch"), tokenizer)
    assert all(torch.equal(one, two) for one, two in zip(model.parameters(), again.parameters(), strict=True))


def test_a_base_gets_an_embedding_for_an_added_padding_token(project: Project, base: Path) -> None:
    tokenizer = load_tokenizer(base, "base")
    set_pad_token(tokenizer, "[PAD]")
    model = build_model(settings("tiny"), tokenizer)
    assert (model.config.vocab_size, model.config.pad_token_id, model.config.eos_token_id) == (401, 400, 0)


def test_weights_are_counted_once_where_they_are_shared(model: PreTrainedModel) -> None:
    assert count_parameters(model) == 400 * 32 + 256 * 32 + 2 * 12704 + 64


def test_saved_files_hold_no_path_and_are_the_same_each_time(
    tmp_path: Path, base: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    for name in ("one", "two"):
        model = load_model(base, "base")
        model.config.use_cache = False  # as training leaves it
        save_model(model, tokenizer, tmp_path / name)
    for file in sorted((tmp_path / "one").iterdir()):
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()
        assert str(tmp_path).encode() not in file.read_bytes()
        assert str(base).encode() not in file.read_bytes()
        assert file.stat().st_mode & 0o044 == 0o044
    assert json.loads((tmp_path / "one" / "config.json").read_text())["use_cache"] is True
    with safe_open(tmp_path / "one" / "model.safetensors", "pt") as weights:
        assert weights.metadata() == {"format": "pt"}


def test_tied_embeddings_survive_saving_and_loading(
    tmp_path: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    save_model(model, tokenizer, tmp_path)
    again = load_model(tmp_path, "again")
    ids = torch.arange(30)[None]
    with torch.no_grad():
        assert torch.equal(model(ids).logits, again(ids).logits)
    assert again.get_input_embeddings().weight is again.get_output_embeddings().weight


@pytest.mark.parametrize(("temperature", "sampled"), [(0.0, False), (0.7, True)])
def test_the_generation_settings_become_a_generation_config(
    tokenizer: PreTrainedTokenizerFast, temperature: float, sampled: bool
) -> None:
    wanted = {**SHIPPED["generation"], "temperature": temperature, "top_p": 0.9, "top_k": 5, "max_new_tokens": 33}
    config = generation_config(Generation.model_validate(wanted), tokenizer)
    config.validate(strict=True)
    assert (config.max_new_tokens, config.do_sample, config.eos_token_id, config.pad_token_id) == (33, sampled, 0, 0)
    assert (config.temperature, config.top_p, config.top_k) == ((0.7, 0.9, 5) if sampled else (None, None, None))


def test_weights_can_be_exported_in_three_formats() -> None:
    assert [export_dtype(name) for name in ("fp32", "bf16", "fp16")] == [torch.float32, torch.bfloat16, torch.float16]


@pytest.mark.parametrize("damage", ["truncate", "remove", "pickle"])
def test_weights_that_cannot_be_loaded_are_one_line(tmp_path: Path, base: Path, damage: str) -> None:
    shutil.copytree(base, tmp_path / "bad")
    weights = tmp_path / "bad" / "model.safetensors"
    content = weights.read_bytes()
    weights.unlink()
    if damage == "truncate":
        weights.write_bytes(content[: len(content) // 2])
    if damage == "pickle":
        torch.save({}, tmp_path / "bad" / "pytorch_model.bin")
    problem = {
        "truncate": "^The model mine can't be loaded: ",
        "remove": r"^mine holds no weights",
        "pickle": r"^mine holds its weights as pytorch_model\.bin.*safetensors",
    }
    with pytest.raises(LockstepError, match=problem[damage]) as caught:
        load_model(tmp_path / "bad", "mine")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda weight: None, "is missing"),
        (lambda weight: weight[:5].clone(), r"is 5 x 96, config\.json asks for 32 x 96"),
        (lambda weight: weight * float("nan"), "holds values that are no numbers"),
        (lambda weight: weight / 0, "holds values that are no numbers"),
    ],
)
def test_weights_that_do_not_fit_or_are_no_numbers_are_refused(
    tmp_path: Path, base: Path, change: Any, problem: str
) -> None:
    shutil.copytree(base, tmp_path / "bad")
    weights = load_file(tmp_path / "bad" / "model.safetensors")
    changed = change(weights.pop("transformer.h.0.attn.c_attn.weight"))
    if changed is not None:
        weights["transformer.h.0.attn.c_attn.weight"] = changed
    save_file(weights, tmp_path / "bad" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        LockstepError, match=rf"^The model mine can't be loaded: transformer\.h\.0\.attn\.c_attn\.weight {problem}"
    ):
        load_model(tmp_path / "bad", "mine")


def test_the_config_used_is_of_the_kind_gpt2(base: Path) -> None:
    assert GPT2Config.from_pretrained(base).n_positions == 256
