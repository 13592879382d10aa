"""What people write to tokenize their data for fine-tuning, to be measured beside this pipeline (see data_scale.py).

    python -m benchmarks.plain_tokenize DATA TOKENIZER OUT

A CSV file of questions and answers goes through pandas, scikit-learn and `datasets.map`, every row padded to 128
tokens; a folder of texts is tokenized and concatenated into blocks of 128, as in Transformers' run_clm example.
"""

import sys
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd
from datasets import Dataset, load_dataset
from sklearn.model_selection import train_test_split
from transformers import AutoTokenizer

TOKENS = 128


def questions(path: Path, tokenizer: Any) -> dict[str, Dataset]:
    """Padded rows of both splits."""
    frame = pd.read_csv(path)
    frame["text"] = "Question: " + frame["question"] + "\nAnswer: " + frame["answer"] + tokenizer.eos_token
    train, test = train_test_split(frame, test_size=0.1, random_state=42)

    def tokenize(rows: dict[str, list]) -> dict[str, list]:
        tokens = tokenizer(rows["text"], truncation=True, padding="max_length", max_length=TOKENS)
        tokens["labels"] = [list(ids) for ids in tokens["input_ids"]]
        return dict(tokens)

    splits = {"train": train, "test": test}
    return {
        name: Dataset.from_pandas(rows, preserve_index=False).map(
            tokenize, batched=True, remove_columns=list(rows.columns)
        )
        for name, rows in splits.items()
    }


def texts(folder: Path, tokenizer: Any) -> dict[str, Dataset]:
    """Blocks of both splits."""
    lines = load_dataset("text", data_files=[str(path) for path in sorted(folder.glob("*.txt"))])["train"]
    splits = lines.train_test_split(test_size=0.1, seed=42)

    def group(rows: dict[str, list]) -> dict[str, list]:
        joined = {name: list(chain.from_iterable(lists)) for name, lists in rows.items()}
        total = len(joined["input_ids"]) // TOKENS * TOKENS
        cut = {name: [ids[place : place + TOKENS] for place in range(0, total, TOKENS)] for name, ids in joined.items()}
        return {**cut, "labels": [list(ids) for ids in cut["input_ids"]]}

    return {
        name: rows.map(lambda some: tokenizer(some["text"]), batched=True, remove_columns=["text"]).map(
            group, batched=True
        )
        for name, rows in splits.items()
    }


def main() -> None:
    """Tokenize and save."""
    data, folder, out = map(Path, sys.argv[1:])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = tokenizer.eos_token
    for name, rows in (texts if data.is_dir() else questions)(data, tokenizer).items():
        rows.save_to_disk(out / name)


if __name__ == "__main__":
    main()
