"""This pipeline's training against the usual recipes: same base, same rows, same number of steps, one scorer.

    python -m benchmarks.side_by_side OUT.json [--shape 82M] [--rows 192] [--rounds 3] [--recipes usual lockstep ...]

Each recipe runs in a process of its own, in turn, `rounds` times; medians count. Rows are this project's questions with
two answers each, about 98 tokens. Held-out loss is that of 64 other rows' answers. Utilisation is the operations of the
weights' products, 6 for each weight and token that recipe computes, over the peak of a matrix product measured here, in
bf16 where the machine has it. `lockstep fp32` is this pipeline as on a machine without bf16 units.
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HELD_OUT = 64
RECIPES = ("usual", "blocks", "trl", "trl packed", "lockstep fp32", "lockstep")
NO_BF16_UNITS = {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}  # has oneDNN do without them


def question_rows(count: int) -> list[dict[str, str]]:
    """Rows of the sample data; each answer is followed by the next row's, so that they have about 98 tokens."""
    with open("data/raw/data_science.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    pairs = zip(rows[::2], rows[1::2], strict=False)
    both = [{"question": a["Question"], "answer": f"{a['Answer']} {b['Answer']}"} for a, b in pairs]
    return both[:count]


def lay_out(folder: Path, shape: str, rows: list[dict[str, str]], settings: dict[str, Any]) -> None:
    """Write the base, the rows and the settings that every recipe reads."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from benchmarks.training_step import make_model

    tokenizer = AutoTokenizer.from_pretrained("models/tiny")
    tokenizer.save_pretrained(folder / "model")
    torch.manual_seed(0)
    if shape == "base":
        model = AutoModelForCausalLM.from_pretrained("models/tiny", dtype=torch.float32)
    else:
        model = make_model(shape, "cpu")
        model.config.bos_token_id = model.config.eos_token_id = tokenizer.eos_token_id
        for name in ("attn_pdrop", "embd_pdrop", "resid_pdrop"):  # as GPT-2 comes
            setattr(model.config, name, 0.1)
    model.save_pretrained(folder / "model")
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")


def held_out_loss(model: Path, rows: list[dict[str, str]]) -> float:
    """Mean -ln p of an answer's token, fp32."""
    from transformers import AutoTokenizer

    from benchmarks.recipes import PROMPT, texts
    from lockstep.modeling.device import Hardware, available_cores
    from lockstep.modeling.model import load_model
    from lockstep.modeling.scoring import score_rows

    tokenizer = AutoTokenizer.from_pretrained(model)
    encoded = [
        {
            "input_ids": tokenizer(text)["input_ids"],
            "target_start": len(tokenizer(PROMPT.question_text(row["question"]))["input_ids"]),
        }
        for text, row in zip(texts(rows, tokenizer.eos_token), rows, strict=True)
    ]
    hardware = Hardware("cpu", "fp32", available_cores())
    return score_rows(load_model(model, model.name), encoded, hardware, tokenizer.eos_token_id).loss


def computed_operations(folder: Path, recipe: str, rows: list[dict[str, str]]) -> float:
    """Floating-point operations of the whole run as this recipe computes it (see training_step.operations)."""
    from transformers import AutoTokenizer

    from benchmarks.recipes import LONGEST, PROMPT, texts
    from benchmarks.training_step import operations
    from lockstep.modeling.model import load_model

    if not recipe.startswith("lockstep"):
        tokens = targets = LONGEST * len(rows)
    else:
        tokenizer = AutoTokenizer.from_pretrained(folder / "model")
        lengths = [min(LONGEST, len(tokenizer(text)["input_ids"])) for text in texts(rows, tokenizer.eos_token)]
        tokens = sum(lengths)
        questions = [len(tokenizer(PROMPT.question_text(row["question"]))["input_ids"]) for row in rows]
        targets = tokens - sum(questions)
    return operations(load_model(folder / "model", "the base"), tokens, targets)


def run(recipe: str, folder: Path) -> dict[str, float]:
    """One training in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.recipes", recipe, str(folder)]
    limits = NO_BF16_UNITS if recipe == "lockstep fp32" else {}
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | limits, check=False)
    if done.returncode:
        sys.exit(f"{recipe} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure, print a line for each run, and write the medians as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.side_by_side", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--shape", default="82M")
    parser.add_argument("--title", help="of the table; the shape by default")
    parser.add_argument("--rows", type=int, default=192)
    parser.add_argument("--batch", type=int, default=8, help="rows of a step (8)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=RECIPES)
    options = parser.parse_args()
    from benchmarks.page_section import machine
    from benchmarks.training_step import matrix_peak
    from lockstep.core.settings import Device
    from lockstep.modeling.device import set_up

    hardware = set_up(Device(name=options.device, precision="auto", threads="auto", deterministic=True), 0)
    rows = question_rows(options.rows + HELD_OUT)
    train, held_out = rows[: options.rows], rows[options.rows :]
    settings = {"steps": options.rows // options.batch, "batch_size": options.batch, "learning_rate": 3e-4}
    settings |= {"device": options.device, "precision": hardware.precision}
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in options.recipes}
    peaks: list[float] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        lay_out(folder, options.shape, train, settings)
        for _ in range(options.rounds):
            peaks.append(matrix_peak(hardware))
            for name in options.recipes:
                measured[name].append(run(name, folder))
                print(f"{name}: {measured[name][-1]['seconds']:.1f} s", flush=True)
        lines = [_line(name, runs, folder, train, held_out, max(peaks)) for name, runs in measured.items()]
    first = lines[0]["seconds"]
    for line in lines:
        line["times_as_fast_as_first"] = round(first / line["seconds"], 2)
    result = {
        "title": options.title or f"{options.shape} shape",
        "hardware": str(hardware) if options.device == "cuda" else f"{machine()}; {hardware}",
        "shape": options.shape,
        "rows": options.rows,
        "steps": settings["steps"],
    }
    result |= {"rounds": options.rounds, "matrix_peak_gflops": round(max(peaks) / 1e9), "recipes": lines}
    options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


def _line(
    name: str, runs: list[dict[str, float]], folder: Path, train: list, held_out: list, peak: float
) -> dict[str, Any]:
    seconds = statistics.median(run["seconds"] for run in runs)
    operations = computed_operations(folder, name, train)
    return {
        "recipe": name,
        "seconds": round(seconds, 2),
        "all_seconds": [round(run["seconds"], 2) for run in runs],
        "rows_per_second": round(len(train) / seconds, 2),
        "held_out_loss": round(held_out_loss(folder / name, held_out), 4),
        "peak_memory_mb": round(max(run["peak_memory"] for run in runs) / 1e6),
        "utilisation": round(operations / seconds / peak, 3),
    }


if __name__ == "__main__":
    main()
