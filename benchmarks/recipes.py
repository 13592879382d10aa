"""One way to fine-tune, timed by itself in a process of its own; benchmarks.side_by_side calls it for each.

    python -m benchmarks.recipes NAME FOLDER

FOLDER holds model/, train.jsonl (`question`, `answer`) and settings.json; the tuned model goes to FOLDER/NAME. Prints
one line of JSON: seconds of the training loop, tokens of the rows without padding, peak memory of the process.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lockstep.artifacts.prompt import Prompt

PROMPT = Prompt()
LONGEST = 128  # tokens


def texts(rows: list[dict[str, str]], end: str) -> list[str]:
    """Question and answer in the template, with end-of-text."""
    return [PROMPT.question_text(row["question"]) + PROMPT.answer_text(row["answer"]) + end for row in rows]


def arguments(folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """What all Trainer-based recipes share."""
    return {
        "output_dir": str(folder / "trainer"),
        "max_steps": settings["steps"],
        "per_device_train_batch_size": settings["batch_size"],
        "learning_rate": settings["learning_rate"],
        "save_strategy": "no",
        "logging_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "seed": 0,
        "use_cpu": settings["device"] == "cpu",
        "bf16": settings["device"] == "cuda",
    }


def usual(model: Any, tokenizer: Any, rows: list, settings: dict[str, Any], folder: Path) -> Callable[[], Any]:
    """The recipe of most tutorials: Trainer, rows padded to 128, the language-modelling collator, loss over all."""
    from transformers import DataCollatorForLanguageModeling, Trainer, TrainingArguments

    encoded = tokenizer(texts(rows, tokenizer.eos_token), truncation=True, padding="max_length", max_length=LONGEST)
    data = [{"input_ids": ids, "attention_mask": mask} for ids, mask in _pairs(encoded)]
    trainer = Trainer(
        model=model,
        args=TrainingArguments(**arguments(folder, settings)),
        train_dataset=data,
        data_collator=DataCollatorForLanguageModeling(tokenizer, mlm=False),
    )
    return trainer.train


def blocks(model: Any, tokenizer: Any, rows: list, settings: dict[str, Any], folder: Path) -> Callable[[], Any]:
    """As Transformers' run_clm does: all texts end to end, cut into blocks of 128, the remainder dropped."""
    from transformers import Trainer, TrainingArguments, default_data_collator

    ids = [token for text in texts(rows, tokenizer.eos_token) for token in tokenizer(text)["input_ids"]]
    pieces = [ids[start : start + LONGEST] for start in range(0, len(ids) - LONGEST + 1, LONGEST)]
    trainer = Trainer(
        model=model,
        args=TrainingArguments(**arguments(folder, settings)),
        train_dataset=[{"input_ids": piece, "labels": piece} for piece in pieces],
        data_collator=default_data_collator,
    )
    return trainer.train


def trl(
    model: Any, tokenizer: Any, rows: list, settings: dict[str, Any], folder: Path, packing: bool
) -> Callable[[], Any]:
    """TRL's SFTTrainer on prompt and completion, loss on the completion, its own defaults otherwise."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    data = [
        {"prompt": PROMPT.question_text(row["question"]), "completion": PROMPT.answer_text(row["answer"])}
        for row in rows
    ]
    # TRL's default for bf16 where the machine has units for it.
    options = arguments(folder, settings) | {"bf16": settings["precision"] == "bf16"}
    config = SFTConfig(**options, max_length=LONGEST, packing=packing, gradient_checkpointing=False)
    trainer = SFTTrainer(model=model, args=config, train_dataset=Dataset.from_list(data), processing_class=tokenizer)
    return trainer.train


def trl_plain(*inputs: Any) -> Callable[[], Any]:
    """See trl; rows padded to the longest of their batch."""
    return trl(*inputs, packing=False)


def trl_packed(*inputs: Any) -> Callable[[], Any]:
    """See trl; rows packed by best fit into 128 tokens."""
    return trl(*inputs, packing=True)


def lockstep(model: Any, tokenizer: Any, rows: list, settings: dict[str, Any], folder: Path) -> Callable[[], Any]:
    """This pipeline's training loop, as the train stage runs it, without validation rows or checkpoints in between."""
    from datasets import Dataset

    from lockstep.core.settings import Device, load_params
    from lockstep.modeling.device import set_up
    from lockstep.modeling.model import set_dropout
    from lockstep.modeling.stopping import StopRequest
    from lockstep.training.trainer import CurveRecorder, Progress, TrainingSetup, make_trainer

    # Deterministic and saved each epoch, as always.
    device = Device(name=settings["device"], precision=settings["precision"], threads="auto", deterministic=True)
    hardware = set_up(device, 0)
    set_dropout(model, 0.1)
    encoded = []
    for row in rows:
        start = len(tokenizer(PROMPT.question_text(row["question"]))["input_ids"])
        ids = tokenizer(texts([row], tokenizer.eos_token)[0])["input_ids"]
        encoded.append({"input_ids": ids[:LONGEST], "target_start": start})
    changed = {"epochs": 1, "per_device_batch_size": settings["batch_size"], "learning_rate": settings["learning_rate"]}
    train = load_params().train.model_copy(update={**changed, "warmup_ratio": 0.0, "weight_decay": 0.0})
    splits = {"train": Dataset.from_list(encoded), "validation": Dataset.from_list([])}
    setup = TrainingSetup(train, hardware, tokenizer.eos_token_id, 0, folder / "trainer")
    trainer = make_trainer(model, splits, setup, StopRequest())
    trainer.args.save_strategy = trainer.args.eval_strategy = "no"
    trainer.args.eval_on_start = False
    trainer.remove_callback(Progress)
    trainer.remove_callback(CurveRecorder)
    return trainer.train


def lockstep_fp32(model: Any, tokenizer: Any, rows: list, settings: dict[str, Any], folder: Path) -> Callable[[], Any]:
    """See lockstep; as on a machine that multiplies no bf16."""
    return lockstep(model, tokenizer, rows, settings | {"precision": "fp32"}, folder)


RECIPES = {
    "usual": usual,
    "blocks": blocks,
    "trl": trl_plain,
    "trl packed": trl_packed,
    "lockstep fp32": lockstep_fp32,
    "lockstep": lockstep,
}


def _pairs(encoded: Any) -> Any:
    return zip(encoded["input_ids"], encoded["attention_mask"], strict=True)


def peak_memory(device: str) -> int:
    """Bytes: of the process, or allocated on the GPU."""
    import resource

    import torch

    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def load_kernels(model: Any, rows: int) -> None:
    """One pass forth and back, of which nothing is kept: a GPU loads its kernels when they are first wanted."""
    import torch

    model.to("cuda")
    ids = torch.zeros((rows, LONGEST), dtype=torch.long, device="cuda")
    with torch.autocast("cuda", dtype=torch.bfloat16):
        model(input_ids=ids, labels=ids).loss.backward()
    model.zero_grad()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()


def main() -> None:
    """Train once and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recipes", description=__doc__)
    parser.add_argument("name", choices=RECIPES)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder: Path = options.folder
    settings = json.loads((folder / "settings.json").read_text())
    rows = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    tokenizer.pad_token = tokenizer.eos_token
    model = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32)
    train = RECIPES[options.name](model, tokenizer, rows, settings, folder)
    if settings["device"] == "cuda":
        load_kernels(model, settings["batch_size"])
    began = time.perf_counter()
    train()
    if settings["device"] == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - began
    model.config.use_cache = True
    model.save_pretrained(folder / options.name)
    tokenizer.save_pretrained(folder / options.name)
    print(json.dumps({"seconds": seconds, "peak_memory": peak_memory(settings["device"])}))


if __name__ == "__main__":
    main()
