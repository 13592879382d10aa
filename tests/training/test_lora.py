"""LoRA: which layers get adapters, that these merge into an ordinary model, and that resuming works as in full training."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from projects import ROOT, Project, hashes
from safetensors.torch import load_file
from training_runs import FINETUNED, interrupt_after, trained, validation_loss, written

from lockstep.core.errors import LockstepError, Stopped
from lockstep.core.settings import Lora
from lockstep.modeling.model import grow_embeddings, load_model
from lockstep.modeling.scoring import target_logits
from lockstep.training import lora
from lockstep.training.lora import add_adapters, merge_adapters, target_names
from lockstep.training.trainable_weights import count_trained

LLAMA = ROOT.parent / "shared/data/models/stories260K"  # optional real model of another architecture
ROWS = [{"input_ids": [5, 9, 12, 40, 7, 0], "target_start": 3}, {"input_ids": [8, 3, 0], "target_start": 1}]


def settings(**changes: Any) -> Lora:
    return Lora.model_validate({"rank": 4, "alpha": 8, "dropout": 0.0, "targets": "auto", **changes})


def llama(folder: Path, tied: bool = False) -> Any:
    """A Llama of two layers and random weights."""
    from transformers import AutoModelForCausalLM, LlamaConfig

    torch.manual_seed(5)
    config = LlamaConfig(
        vocab_size=60,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=tied,
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return load_model(folder, "llama")


def disturb(adapted: Any) -> None:
    """Give the adapters random values, as if trained."""
    torch.manual_seed(1)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)


def test_auto_means_all_linear_layers_but_the_output(model: Any, tmp_path: Path) -> None:
    last = {name.rsplit(".", 1)[-1] for name in target_names(model, "auto", "base")}
    assert last == {"c_attn", "c_proj", "c_fc"}
    last = {name.rsplit(".", 1)[-1] for name in target_names(llama(tmp_path), "auto", "base")}
    assert last == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def test_a_name_means_every_layer_that_ends_in_it(model: Any) -> None:
    assert target_names(model, ["attn.c_proj"], "base") == [
        "transformer.h.0.attn.c_proj",
        "transformer.h.1.attn.c_proj",
    ]
    assert len(target_names(model, ["c_proj", "c_attn"], "base")) == 6


def test_an_unknown_target_is_named_with_the_known_ones(model: Any) -> None:
    with pytest.raises(LockstepError, match=r"train\.lora\.targets names q_proj.*tiny.*c_attn, c_fc, c_proj"):
        target_names(model, ["c_attn", "q_proj"], "tiny")


def test_an_output_layer_that_is_the_embeddings_too_is_no_target(model: Any, tmp_path: Path) -> None:
    with pytest.raises(LockstepError, match=r"names lm_head.*input embeddings"):
        target_names(model, ["lm_head"], "base")
    assert target_names(llama(tmp_path), ["lm_head"], "base") == ["lm_head"]


def test_random_weights_are_refused_as_a_base(model: Any) -> None:
    with pytest.raises(LockstepError, match=r"model\.base is scratch.*train\.method to full"):
        add_adapters(model, settings(), "scratch")


def test_only_the_adapters_are_trained_and_at_first_they_change_no_logit(model: Any) -> None:
    ids = torch.arange(12).reshape(2, 6)
    with torch.inference_mode():
        before = model(input_ids=ids).logits
        adapted = add_adapters(model, settings(rank=2), "base")
        assert torch.equal(adapted(input_ids=ids).logits, before)
    # Each layer of width 32 has c_attn (32, 96), c_proj (32, 32), c_fc (32, 128) and c_proj (128, 32).
    assert count_trained(adapted) == 2 * 2 * (32 + 96 + 32 + 32 + 32 + 128 + 128 + 32)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "tied llama"])
def test_merged_logits_are_those_before_and_embeddings_stay_tied(kind: str, model: Any, tmp_path: Path) -> None:
    plain = model if kind == "gpt2" else llama(tmp_path / "llama", tied=kind == "tied llama")
    adapted = add_adapters(plain, settings(), "base")
    disturb(adapted)
    ids = torch.arange(12).reshape(2, 6)
    with torch.inference_mode():
        before = adapted.eval()(input_ids=ids).logits
        with adapted.disable_adapter():
            assert not torch.allclose(adapted(input_ids=ids).logits, before, atol=1e-2)
        merge_adapters(adapted, ROWS, 0).save_pretrained(tmp_path / "merged")
        assert torch.allclose(load_model(tmp_path / "merged", "merged")(input_ids=ids).logits, before, atol=1e-5)
    assert ("lm_head.weight" in load_file(tmp_path / "merged/model.safetensors")) == (kind == "llama")


@pytest.mark.skipif(not LLAMA.exists(), reason="the real model is not here")
def test_a_real_llama_takes_adapters_and_a_padding_token(tmp_path: Path) -> None:
    plain = load_model(LLAMA, "stories260K")
    grow_embeddings(plain, 513)
    mean = plain.get_input_embeddings().weight[512].clone()
    adapted = add_adapters(plain, settings(), "stories260K")
    disturb(adapted)
    merged = merge_adapters(adapted, ROWS, 512)
    assert torch.equal(merged.get_input_embeddings().weight[512], mean)
    assert merged.get_output_embeddings().weight is merged.get_input_embeddings().weight


def test_a_merge_that_changes_logits_is_refused(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lora, "MERGE_TOLERANCE", 0.0)
    adapted = add_adapters(model, settings(), "base")
    disturb(adapted)
    with pytest.raises(LockstepError, match=r"changed logits by \d\.\de-\d+ .*more than 0e\+00"):
        merge_adapters(adapted, ROWS, 0)


def test_the_targets_alone_reach_the_output_layer_under_the_wrapper(model: Any) -> None:
    adapted = add_adapters(model, settings(), "base")
    batch = {"input_ids": torch.arange(12).reshape(2, 6), "target_index": torch.tensor([1, 9])}
    with torch.inference_mode():
        whole = adapted.eval()(input_ids=batch["input_ids"]).logits.flatten(0, 1)
        assert torch.allclose(target_logits(adapted, batch), whole[[1, 9]], atol=1e-6)


def test_the_stage_trains_adapters_and_leaves_an_ordinary_model(after: Project) -> None:
    full = after.json("metrics/train.json")
    assert full["trained_parameters"] == full["parameters"]
    base = load_file("models/bases/tiny/model.safetensors")
    merged = trained(after, method="lora", learning_rate=0.05)
    metrics = after.json("metrics/train.json")
    assert sorted(hashes("models/finetuned")) == FINETUNED
    assert metrics["trained_parameters"] == 16 * 1024 < metrics["parameters"] == full["parameters"]
    assert metrics["validation_loss"] < metrics["epochs"]["0"]["validation_loss"] - 0.1
    assert validation_loss() == pytest.approx(metrics["validation_loss"], abs=1e-4)
    assert sorted(merged) == sorted(base)
    changed = {name for name in base if not torch.equal(base[name], merged[name])}
    assert {name.split(".", 3)[-1] for name in changed} == {
        "attn.c_attn.weight",
        "attn.c_proj.weight",
        "mlp.c_fc.weight",
        "mlp.c_proj.weight",
    }
    after.run("evaluate", "export")
    assert after.json("metrics/evaluate.json")["tuned"]["loss"] < after.json("metrics/evaluate.json")["base"]["loss"]


@pytest.mark.parametrize("step", [4, 6])
@pytest.mark.parametrize("keep", ["best", "last"])
def test_stopped_and_run_again_it_ends_with_the_same_bytes(
    after: Project, monkeypatch: pytest.MonkeyPatch, step: int, keep: str
) -> None:
    trained(after, method="lora", keep=keep)
    uninterrupted = written()
    interrupt_after(monkeypatch, step)
    with pytest.raises(Stopped, match=f"saved at step {step} of 12"):
        after.run("train")
    saved = {path.name: load_file(path) for path in Path(".checkpoints").glob(f"*/checkpoint-{step}/*.safetensors")}
    assert set(saved) == {"adapter_model.safetensors", *(["best.safetensors"] if keep == "best" else [])}
    assert not [name for weights in saved.values() for name in weights if "lora" not in name]  # none that is frozen
    after.run("train")
    assert written() == uninterrupted


def test_best_weights_come_back_after_early_stopping(after: Project) -> None:
    after.set(
        "train",
        method="lora",
        epochs=30,
        early_stopping_patience=1,
        keep="best",
        learning_rate=0.2,
        lr_schedule="constant",
    )
    after.run("train")
    epochs = {
        int(epoch): figures["validation_loss"] for epoch, figures in after.json("metrics/train.json")["epochs"].items()
    }
    best = min(epochs, key=epochs.__getitem__)
    assert best < max(epochs) < 30
    assert validation_loss() == pytest.approx(epochs[best], abs=1e-4)


def test_an_added_padding_token_keeps_its_embedding(after: Project) -> None:
    after.set("tokenize", pad_token="[PAD]")
    after.run("tokenize")
    merged = trained(after, method="lora")["transformer.wte.weight"]
    base = load_file("models/bases/tiny/model.safetensors")["transformer.wte.weight"]
    assert (
        merged.shape[0]
        == base.shape[0] + 1
        == json.loads(Path("models/finetuned/config.json").read_text())["vocab_size"]
    )
    assert torch.equal(merged[:-1], base)
    assert torch.equal(merged[-1], base.mean(dim=0))


def test_a_checkpoint_names_no_base_so_that_peft_does_not_ask_the_hub(model: Any, tmp_path: Path) -> None:
    add_adapters(model, settings(), "owner/name").save_pretrained(tmp_path)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["base_model_name_or_path"] == ""
