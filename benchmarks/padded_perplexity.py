"""Where a perplexity of 1.03 comes from: one model, scored with and without padding, on a leaking split and without.

    python -m benchmarks.padded_perplexity [--steps 150]

Makes a file of 15,300 rows that hold 51 different pairs, as one public recipe's does, lets `stages.prepare` say what it
thinks of it, and fine-tunes the embedded base twice: on a random split of the rows, and on the split prepare makes.
Both ways train as such recipes do, on rows padded to 128 tokens with the padding as targets.
"""

import argparse
import csv
import math
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import yaml
from torch.nn import functional

from lockstep.artifacts.prompt import Prompt
from lockstep.artifacts.records import Question, read_records
from lockstep.modeling.device import Hardware
from lockstep.modeling.model import load_model
from lockstep.modeling.scoring import score_rows
from lockstep.pretrained.tokenizer import encode, load_tokenizer

ROOT = Path(__file__).resolve().parents[1]
BASE = ROOT / "models/tiny"
SMALL_TALK = ROOT / "data/raw/small_talk.csv"
PAIRS, COPIES, LENGTH, BATCH = 51, 300, 128, 16
CPU = Hardware("cpu", "fp32", 1)


def main() -> None:
    """Print what prepare says and the four figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.padded_perplexity", description=__doc__)
    parser.add_argument("--steps", type=int, default=150, help="optimizer steps of 16 rows")
    steps = parser.parse_args().steps
    with tempfile.TemporaryDirectory() as folder:
        pairs, train, held_out = prepared_pairs(Path(folder))
    tokenizer = load_tokenizer(BASE, "models/tiny")
    for name, learnt, tested in (("random split of the rows", pairs, pairs), ("prepare's split", train, held_out)):
        model = fine_tuned(rows_of(learnt, tokenizer), tokenizer.eos_token_id, steps)
        rows = rows_of(tested, tokenizer)
        padded = math.exp(padded_loss(model, rows, tokenizer.eos_token_id))
        whole = score_rows(model, [{**row, "target_start": 1} for row in rows], CPU, tokenizer.eos_token_id)
        answers = score_rows(model, rows, CPU, tokenizer.eos_token_id)
        print(
            f"{name}: padding counted {padded:.3f}, padding left out {whole.perplexity:.2f}, "
            f"answers only {answers.perplexity:.2f} ({len(rows)} different rows scored)"
        )


def prepared_pairs(folder: Path) -> tuple[list[Question], list[Question], list[Question]]:
    """Write the repetitive file, run prepare on it; returns all pairs, those to train on and those held out."""
    with SMALL_TALK.open(encoding="utf-8", newline="") as file:
        table = [list(row.values())[:2] for row in csv.DictReader(file)]
    chosen = table[:: len(table) // PAIRS][:PAIRS]
    rows = chosen * COPIES
    random.Random(0).shuffle(rows)
    (folder / "data/raw").mkdir(parents=True)
    with (folder / "data/raw/rows.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["question", "answer"], *rows])
    (folder / "data/raw/corrections.jsonl").write_text("", encoding="utf-8")
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["data"]["path"] = "data/raw/rows.csv"
    params["split"] |= {"train": 0.7, "validation": 0.1, "test": 0.2, "reworded": False}
    params["tracking"]["enabled"] = False
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-m", "stages.prepare"], cwd=folder, env=environment, check=True)
    split: dict[str, list[Question]] = {}
    for name in ("train", "validation", "test"):
        records = read_records(folder / f"data/prepared/{name}.jsonl")
        split[name] = [record for record in records if isinstance(record, Question)]
    held_out = split["validation"] + split["test"]
    return split["train"] + held_out, split["train"], held_out


def rows_of(questions: list[Question], tokenizer: Any) -> list[dict[str, Any]]:
    """Token ids of the whole row with end-of-text, and where the answer begins."""
    prompt = Prompt()
    question_ids = encode(tokenizer, [prompt.question_text(question.question) for question in questions])
    answer_ids = encode(tokenizer, [prompt.answer_text(question.answer) for question in questions])
    return [
        {"input_ids": [*question, *answer, tokenizer.eos_token_id], "target_start": len(question)}
        for question, answer in zip(question_ids, answer_ids, strict=True)
    ]


def padded_loss(model: Any, rows: list[dict[str, Any]], pad: int) -> Any:
    """The mistake: the mean loss over all LENGTH positions of each row, end-of-text as padding and as target."""
    ids = torch.tensor([(row["input_ids"] + [pad] * LENGTH)[:LENGTH] for row in rows])  # (rows, LENGTH)
    mask = torch.tensor([[1] * len(row["input_ids"]) + [0] * (LENGTH - len(row["input_ids"])) for row in rows])
    with torch.set_grad_enabled(model.training):
        logits = model(input_ids=ids, attention_mask=mask).logits  # (rows, LENGTH, V)
        return functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())


def fine_tuned(rows: list[dict[str, Any]], pad: int, steps: int) -> Any:
    """The base after `steps` steps on rows drawn at random, as often as the file repeats them."""
    torch.manual_seed(0)
    draw = random.Random(0)
    model = load_model(BASE, "models/tiny").train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4)
    for _ in range(steps):
        loss = padded_loss(model, draw.choices(rows, k=BATCH), pad)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


if __name__ == "__main__":
    main()
