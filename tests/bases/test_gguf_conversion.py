"""A GGUF file becomes a folder: the same bytes each time, the same logits, the tokens that the model was trained on."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from gguf_models import CONTEXT, HEADS, KV_HEADS, LAYERS, WIDTH, write_gguf
from projects import hashes

from lockstep.bases.gguf_conversion import convert
from lockstep.core.errors import LockstepError


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tmp_path_factory.mktemp("gguf") / "small.gguf")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, source: Path) -> Path:
    """The converted folder; not to be changed."""
    return converted(source, tmp_path_factory.mktemp("converted") / "small")


def converted(source: Path, folder: Path) -> Path:
    folder.mkdir()
    convert(source, folder)
    return folder


def test_the_same_file_gives_the_same_bytes_each_time(source: Path, folder: Path, tmp_path: Path) -> None:
    assert hashes(converted(source, tmp_path / "again")) == hashes(folder)


def test_weights_are_bf16_and_nothing_tells_of_quantization_or_of_this_machine(source: Path, folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    assert config["dtype"] == "bfloat16"
    assert not [key for key in config if "quant" in key or "name_or_path" in key]
    assert config["rms_norm_eps"] == 1e-5
    for path in folder.iterdir():
        assert path.stat().st_mode & 0o777 == 0o644
        assert str(source.parent).encode() not in path.read_bytes()


def test_the_special_tokens_are_those_of_the_file_everywhere(folder: Path) -> None:
    for name in ("config.json", "generation_config.json"):
        ids = json.loads((folder / name).read_text())
        assert (ids["bos_token_id"], ids["eos_token_id"], ids["pad_token_id"]) == (1, 2, 2)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    assert (settings["eos_token"], settings["model_max_length"]) == ("<|im_end|>", CONTEXT)


def test_every_digit_is_a_token_as_the_model_was_trained(folder: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.tokenize("2024 2025") == ["2", "0", "2", "4", "Ġ", "2", "0", "2", "5"]
    assert tokenizer("the lamp")["input_ids"] == tokenizer("the lamp", add_special_tokens=False)["input_ids"]
    assert "<|im_start|>user\nHi" in tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False)


def test_the_logits_are_those_of_the_dequantized_file(source: Path, folder: Path) -> None:
    from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=json.loads((folder / "config.json").read_text())["vocab_size"],
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
    )
    reference = LlamaForCausalLM(config).eval()
    reference.load_state_dict(dequantized(source), strict=False)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ids = torch.arange(40)[None]
    with torch.no_grad():
        torch.testing.assert_close(model(ids).logits, reference(ids).logits, atol=0.08, rtol=0.02)


def dequantized(source: Path) -> dict[str, torch.Tensor]:
    """The file's weights by Transformers' names, in float32, read without Transformers."""
    from gguf import GGUFReader, dequantize

    names = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj"}
    names |= {"attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj"}
    names |= {"ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}
    found = {}
    for tensor in GGUFReader(source).tensors:
        values = dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        parts = tensor.name.split(".")
        if parts[0] != "blk":
            found["model.embed_tokens.weight" if parts[0] == "token_embd" else "model.norm.weight"] = values
            continue
        if parts[2] in ("attn_q", "attn_k"):  # llama.cpp has the two halves of each head interleaved
            heads = HEADS if parts[2] == "attn_q" else KV_HEADS
            halves = values.reshape(heads, values.shape[0] // heads // 2, 2, WIDTH)
            values = halves.swapaxes(1, 2).reshape(values.shape)
        found[f"model.layers.{parts[1]}.{names[parts[2]]}.weight"] = values
    tensors = {name: torch.from_numpy(values.copy()) for name, values in found.items()}
    return tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"]}


def test_a_model_without_a_template_of_conversations_has_none_afterwards(tmp_path: Path) -> None:
    folder = converted(write_gguf(tmp_path / "plain.gguf", template=None, quantized=False), tmp_path / "plain")
    assert not (folder / "chat_template.jinja").exists()


@pytest.mark.parametrize("pre", ["gpt-2", "default"])
def test_gpt2s_way_of_splitting_stays(tmp_path: Path, pre: str) -> None:
    from transformers import AutoTokenizer

    folder = converted(write_gguf(tmp_path / "plain.gguf", pre=pre), tmp_path / "plain")
    assert AutoTokenizer.from_pretrained(folder).tokenize(" 2024")[0].startswith("Ġ202")


def test_a_way_of_splitting_that_is_not_known_is_refused(tmp_path: Path) -> None:
    source = write_gguf(tmp_path / "odd.gguf", pre="of-tomorrow")
    with pytest.raises(LockstepError, match=r"odd\.gguf: its tokenizer splits texts by the rule of-tomorrow.*instead"):
        converted(source, tmp_path / "odd")


@pytest.mark.parametrize("bytes_kept", [3, 40, 4000, -4000])
def test_a_file_cut_off_is_one_clear_line(source: Path, tmp_path: Path, bytes_kept: int) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(source.read_bytes()[:bytes_kept])
    with pytest.raises(LockstepError, match=r"^\S+cut\.gguf is no GGUF file: .+\. Get the file again\.$"):
        converted(cut, tmp_path / "cut")


def test_a_file_of_another_kind_is_one_clear_line(tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    other.write_text("Once upon a time")
    with pytest.raises(LockstepError, match="other.gguf is no GGUF file: it does not begin as one"):
        converted(other, tmp_path / "other")


def test_damage_in_the_names_is_one_clear_line(source: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(source.read_bytes().replace(b"general.architecture", b"general.architectura"))
    with pytest.raises(LockstepError, match="damaged.gguf is no GGUF file: Transformers can't use it"):
        converted(damaged, tmp_path / "damaged")


def test_too_little_disk_is_told_before_anything_is_written(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lockstep.core.atomic_files.free_bytes", lambda path: 1000)
    with pytest.raises(LockstepError, match="Too little disk for .*small: 0 MB are needed, 0 MB are free"):
        converted(source, tmp_path / "small")
    assert list((tmp_path / "small").iterdir()) == []
