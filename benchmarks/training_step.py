"""Times one optimizer step of this pipeline against the usual recipe, on the same rows, in one process.

    python -m benchmarks.training_step OUT.json [--shapes 124M 355M] [--rows questions chunks texts] [--tokens 16384]

The usual recipe pads every row to the longest and computes logits and loss at every position. Both use the same
weights, AdamW (fused), bf16 autocast where the device has it, and the same few batches in turn. Utilisation is the
operations of the weights' products that our step needs (see `operations`) over the time and the matrix-product peak
measured in the same run; attention, padding and the optimizer count for nothing in it.
"""

import argparse
import copy
import json
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from lockstep.core.settings import Device
from lockstep.modeling.collate import IGNORED, collate
from lockstep.modeling.device import Hardware, set_up
from lockstep.modeling.scoring import to_device
from lockstep.training.fast_layers import replace_layers
from lockstep.training.step import TrainingStep, choose_step

SHAPES = {  # layers, heads, width, vocabulary, context
    "toy": (2, 2, 64, 8192, 256),
    "base": (4, 6, 384, 8192, 512),
    "82M": (6, 12, 768, 50257, 1024),
    "124M": (12, 12, 768, 50257, 1024),
    "355M": (24, 16, 1024, 50257, 1024),
}
REPEATS = 3  # interleaved rounds; the median is reported
BATCHES = 4  # in turn: one batch alone would hide what a new size of batch costs


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


def rows_of(kind: str, shape: str, tokens: int, seed: int) -> list[dict[str, Any]]:
    """A batch: 'questions', 'texts', or 'chunks', the eight pieces of 200 tokens of a well-known recipe."""
    _, _, _, vocabulary, context = SHAPES[shape]
    if kind == "questions":
        return question_rows(tokens, vocabulary, seed)
    return text_rows(tokens, vocabulary, context, seed) if kind == "texts" else text_rows(1600, vocabulary, 200, seed)


def operations(model: GPT2LMHeadModel, tokens: float, targets: float) -> float:
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
    model: GPT2LMHeadModel, loss: Callable, batches: list[list[dict[str, Any]]], hardware: Hardware, steps: int
) -> float:
    """Mean wall-clock seconds of an optimizer step, after one with each batch that is not timed."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    began = 0.0
    for step in range(len(batches) + steps):
        if step == len(batches):
            synchronize(hardware.device)
            began = time.perf_counter()
        with hardware.autocast():
            value = loss(model, batches[step % len(batches)])
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
    """One line of the table: both ways on one shape and kind of rows, interleaved. None stands for a way for which the
    GPU's memory was too small."""
    batches = [rows_of(kind, shape, tokens, seed) for seed in range(BATCHES)]
    steps = -(-steps // BATCHES) * BATCHES  # each batch as often as the others
    every = [row for rows in batches for row in rows]
    real = sum(len(row["input_ids"]) for row in every) / BATCHES
    targets = real - sum(row["target_start"] for row in every) / BATCHES
    usual = make_model(shape, hardware.device)
    ours = copy.deepcopy(usual)
    step = choose_step(ours, batches[0][0], hardware, packing=True)
    replace_layers(ours, hardware.device)
    ways = {"ours": (ours, partial(our_loss, step)), "usual": (usual, usual_loss)}
    times: dict[str, list[float]] = {"ours": [], "usual": []}
    for _ in range(REPEATS):
        for name, (model, loss) in ways.items():
            with suppress(torch.OutOfMemoryError):
                times[name].append(seconds_per_step(model, loss, batches, hardware, steps))
            model.zero_grad()
    seconds = {name: statistics.median(values) if values else None for name, values in times.items()}
    line = {
        "shape": shape,
        "rows": kind,
        "weights": sum(parameter.numel() for parameter in ours.parameters()),
        "tokens_per_step": round(real),
    }
    for name, one in seconds.items():
        line[f"{name}_tokens_per_second"] = one and round(real / one)
        line[f"{name}_seconds_per_step"] = one and round(one, 3)
    mine, theirs = seconds["ours"], seconds["usual"]
    line["ratio"] = mine and theirs and round(theirs / mine, 2)
    line["utilisation"] = mine and round(operations(ours, real, targets) / mine / peak, 3)
    return line


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
