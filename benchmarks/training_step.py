"""Times one optimizer step of this pipeline against the usual recipe, on the same rows, in one process.

    python -m benchmarks.training_step OUT.json [--shapes 124M 355M] [--rows questions chunks texts] [--tokens 16384]

The usual recipe pads every row to the longest and computes logits and loss at every position. Both use the same model,
AdamW (fused), bf16 autocast where the device has it. Utilisation is the operations of the weights' products that our
step needs (see `operations`) over the time and the matrix-product peak measured in the same run; attention, padding and
the optimizer count for nothing in it.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from stages.core.batches import IGNORED, collate
from stages.core.hardware import Hardware, set_up
from stages.core.params import Device
from stages.core.scoring import to_device
from stages.core.training_step import TrainingStep, choose_step

SHAPES = {  # layers, heads, width, vocabulary, context
    "toy": (2, 2, 64, 8192, 256),
    "base": (4, 6, 384, 8192, 512),
    "82M": (6, 12, 768, 50257, 1024),
    "124M": (12, 12, 768, 50257, 1024),
    "355M": (24, 16, 1024, 50257, 1024),
}
REPEATS = 3  # interleaved rounds; the median is reported


def make_model(shape: str, device: str) -> GPT2LMHeadModel:
    """A GPT-2 of random weights without dropout."""
    layers, heads, width, vocabulary, context = SHAPES[shape]
    config = GPT2Config(
        vocab_size=vocabulary,
        n_positions=context,
        n_embd=width,
        n_layer=layers,
        n_head=heads,
        attn_pdrop=0.0,
        embd_pdrop=0.0,
        resid_pdrop=0.0,
    )
    return GPT2LMHeadModel(config).to(device).train()


def question_rows(tokens: int, vocabulary: int, seed: int) -> list[dict[str, Any]]:
    """Rows of 40 to 128 tokens, 30% of them question, `tokens` tokens in all."""
    generator = torch.Generator().manual_seed(seed)
    rows, total = [], 0
    while total < tokens:
        length = int(torch.randint(40, 129, (1,), generator=generator))
        ids = torch.randint(0, vocabulary, (length,), generator=generator)
        rows.append({"input_ids": ids, "target_start": max(1, length * 3 // 10)})
        total += length
    return rows


def text_rows(tokens: int, vocabulary: int, context: int, seed: int) -> list[dict[str, Any]]:
    """Full-length rows of plain text, everything learnt."""
    generator = torch.Generator().manual_seed(seed)
    rows = max(1, tokens // context)
    return [
        {"input_ids": torch.randint(0, vocabulary, (context,), generator=generator), "target_start": 1}
        for _ in range(rows)
    ]


def chunk_rows(vocabulary: int, seed: int) -> list[dict[str, Any]]:
    """Eight chunks of 200 tokens of plain text, the batch of a well-known recipe."""
    return text_rows(1600, vocabulary, 200, seed)


def operations(model: GPT2LMHeadModel, tokens: int, targets: int) -> float:
    """Floating-point operations of a step's products with weights: forward 2 and backward 4 for each weight of the
    layers and token, and for each weight of the output layer and target."""
    head = model.get_output_embeddings().weight.numel()
    body = sum(weight.numel() for weight in model.base_model.h.parameters() if weight.dim() == 2)
    return 6.0 * (body * tokens + head * targets)


def our_loss(step: TrainingStep, model: GPT2LMHeadModel, rows: list[dict[str, Any]]) -> torch.Tensor:
    """This pipeline's loss of a batch."""
    batch = to_device(collate(rows, 0, step.layout), model.device)
    return step.loss(model, batch) / batch["targets"].numel()


def usual_loss(model: GPT2LMHeadModel, rows: list[dict[str, Any]]) -> torch.Tensor:
    """The usual recipe: padded to the longest, the model's own loss over every position that is not padding."""
    pad = torch.nn.utils.rnn.pad_sequence
    ids = pad([row["input_ids"] for row in rows], batch_first=True).to(model.device)
    mask = pad([torch.ones_like(row["input_ids"]) for row in rows], batch_first=True).to(model.device)
    return model(input_ids=ids, attention_mask=mask, labels=ids.masked_fill(mask == 0, IGNORED), use_cache=False).loss


def seconds_per_step(
    model: GPT2LMHeadModel, loss: Callable, rows: list[dict[str, Any]], hardware: Hardware, steps: int
) -> float:
    """Mean wall-clock seconds of an optimizer step, after three steps that are not timed."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    began = 0.0
    for step in range(steps + 3):
        if step == 3:
            synchronize(hardware.device)
            began = time.perf_counter()
        with hardware.autocast():
            value = loss(model, rows)
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    synchronize(hardware.device)
    return (time.perf_counter() - began) / steps


def matrix_peak(hardware: Hardware) -> float:
    """Floating-point operations a second of a large matrix product in the run's precision."""
    size = 8192 if hardware.device == "cuda" else 2048
    kind = torch.bfloat16 if hardware.precision == "bf16" else torch.float32
    left, right = (torch.randn(size, size, device=hardware.device, dtype=kind) for _ in range(2))
    times = []
    for _ in range(8):
        synchronize(hardware.device)
        began = time.perf_counter()
        left @ right
        synchronize(hardware.device)
        times.append(time.perf_counter() - began)
    return 2 * size**3 / min(times)


def synchronize(device: str) -> None:
    """Wait for the device."""
    if device == "cuda":
        torch.cuda.synchronize()


def measure(shape: str, kind: str, tokens: int, steps: int, hardware: Hardware, peak: float) -> dict[str, Any]:
    """One line of the table: both ways on one shape and kind of rows, interleaved."""
    _, _, _, vocabulary, context = SHAPES[shape]
    rows = {
        "questions": lambda: question_rows(tokens, vocabulary, 0),
        "texts": lambda: text_rows(tokens, vocabulary, context, 0),
        "chunks": lambda: chunk_rows(vocabulary, 0),
    }[kind]()
    real = sum(len(row["input_ids"]) for row in rows)
    targets = sum(len(row["input_ids"]) - row["target_start"] for row in rows)
    model = make_model(shape, hardware.device)
    weights = sum(parameter.numel() for parameter in model.parameters())
    times: dict[str, list[float]] = {"ours": [], "usual": []}
    usual_attention = model.config._attn_implementation
    step = choose_step(model, rows[0], hardware, packing=True)
    attention = {"ours": model.config._attn_implementation, "usual": usual_attention}
    for _ in range(REPEATS):
        for name, loss in (("ours", partial(our_loss, step)), ("usual", usual_loss)):
            model.set_attn_implementation(attention[name])
            times[name].append(seconds_per_step(model, loss, rows, hardware, steps))
    pace = {name: real / statistics.median(values) for name, values in times.items()}
    return {
        "shape": shape,
        "rows": kind,
        "weights": weights,
        "tokens_per_step": real,
        "ours_tokens_per_second": round(pace["ours"]),
        "usual_tokens_per_second": round(pace["usual"]),
        "ours_seconds_per_step": round(statistics.median(times["ours"]), 3),
        "usual_seconds_per_step": round(statistics.median(times["usual"]), 3),
        "ratio": round(pace["ours"] / pace["usual"], 2),
        "utilisation": round(operations(model, real, targets) / statistics.median(times["ours"]) / peak, 3),
    }


def main() -> None:
    """Measure and write the table as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_step", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=["base", "82M"])
    parser.add_argument("--rows", nargs="+", choices=("questions", "texts", "chunks"), default=["questions", "chunks"])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--deterministic", action="store_true", help="time deterministic algorithms")
    options = parser.parse_args()
    settings = Device(name="auto", precision="auto", threads="auto", deterministic=options.deterministic)
    hardware = set_up(settings, 0)
    peak = matrix_peak(hardware)
    result = {
        "device": str(hardware),
        "matrix_peak_tflops": round(peak / 1e12, 2),
        "deterministic": options.deterministic,
        "lines": [],
    }
    for shape in options.shapes:
        for kind in options.rows:
            line = measure(shape, kind, options.tokens, options.steps, hardware, peak)
            print(json.dumps(line), flush=True)
            result["lines"].append(line)
            options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
