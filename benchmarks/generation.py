"""Speed of text generation: this pipeline's engine beside Transformers' own ways, on one model and the same questions.

    python -m benchmarks.generation OUT.json [--models models/tiny 82M] [--questions 64] [--tokens 60] [--rounds 3]
        [--page]

All decode greedily in fp32 with the same limit of tokens; their answers are compared token by token. `82M` is
DistilGPT-2's shape with random weights: it never ends an answer by itself. Prints the table for docs/performance.md.
"""

import argparse
import csv
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch is loaded; the stages set it too

import torch
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel, PreTrainedTokenizerFast, pipeline

from benchmarks.page_section import machine, write_section
from lockstep.artifacts.prompt import Prompt
from lockstep.core.console import say
from lockstep.generation.engine import Answer, Detokenizer, Engine
from lockstep.generation.sampling import Sampling
from lockstep.modeling.model import load_model
from lockstep.pretrained.tokenizer import encode, load_tokenizer

ROOT = Path(__file__).resolve().parents[1]
PIPELINE_BATCH = 16  # the engine's own number of answers at a time
FIRST_TOKEN_QUESTIONS = 8  # questions whose time to the first token is measured, one by one

Ids = list[list[int]]
Way = Callable[[], Ids]


class RecordingEngine(Engine):
    """An engine that keeps the detokenizers of its answers, and with them the ids."""

    detokenizers: list[Detokenizer]

    def detokenizer(self, answer: Answer, sampling: Sampling) -> Detokenizer:
        """As Engine.detokenizer."""
        self.detokenizers.append(super().detokenizer(answer, sampling))
        return self.detokenizers[-1]


class Watch:
    """A streamer for Transformers that records when the first token came."""

    def __init__(self) -> None:
        self.puts = 0
        self.first = 0.0

    def put(self, value: Any) -> None:
        """The prompt, then token by token."""
        self.puts += 1
        if self.puts == 2:
            self.first = time.perf_counter()

    def end(self) -> None:
        """Nothing is left to do."""


def load(name: str) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """A model in fp32 and a tokenizer. For a shape of random weights the embedded base's tokenizer spells the
    prompts."""
    folder = ROOT / (name if name != "82M" else "models/tiny")
    tokenizer = load_tokenizer(folder, name)
    if name != "82M":
        return load_model(folder, name), tokenizer
    torch.manual_seed(0)
    config = GPT2Config(n_layer=6, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id)
    return GPT2LMHeadModel(config).eval(), tokenizer


def questions_of(count: int) -> list[str]:
    """Questions of the sample data, from all over it."""
    with (ROOT / "data/raw/data_science.csv").open(encoding="utf-8", newline="") as file:
        questions = [row[0] for row in csv.reader(file)][1:]
    return [questions[number * 37 % len(questions)] for number in range(count)]


def ways(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, engine: RecordingEngine, texts: list[str], tokens: int
) -> dict[str, Way]:
    """Each way to answer all prompts; called, it gives the ids of the answers without end-of-text."""
    end = tokenizer.eos_token_id
    prompts = encode(tokenizer, texts)
    settings: dict[str, Any] = {"max_new_tokens": tokens, "do_sample": False, "pad_token_id": end}
    pipe = pipeline("text-generation", model=model, tokenizer=tokenizer, device=model.device)
    tokenizer.padding_side = "left"

    def ours() -> Ids:
        engine.detokenizers = []
        answers = engine.generate(prompts, Sampling(max_new_tokens=tokens))
        ids_by_answer = {id(one.answer): one.ids for one in engine.detokenizers}
        return [ids_by_answer[id(answer)] for answer in answers]

    def one_by_one() -> Ids:
        answers = []
        for ids in prompts:
            prompt = torch.tensor([ids], device=model.device)  # (1, T)
            output = model.generate(prompt, attention_mask=torch.ones_like(prompt), **settings)  # (1, T + answer)
            answers.append(output[0, len(ids) :].tolist())
        return [until(ids, end) for ids in answers]

    def piped(batch: int) -> Ids:
        outputs = pipe(texts, batch_size=batch, return_tensors=True, **settings)
        generated = [output[0]["generated_token_ids"] for output in outputs]
        return [until(_after(ids, prompt), end) for ids, prompt in zip(generated, prompts, strict=True)]

    return {
        "this pipeline": ours,
        "model.generate, row by row": one_by_one,
        "pipeline": lambda: piped(1),
        f"pipeline, batches of {PIPELINE_BATCH}": lambda: piped(PIPELINE_BATCH),
    }


def _after(ids: list[int], prompt: list[int]) -> list[int]:
    """What follows the prompt, which padding may precede."""
    begin = next(start for start in range(len(ids)) if ids[start : start + len(prompt)] == prompt)
    return list(ids[begin + len(prompt) :])


def until(ids: list[int], end: int) -> list[int]:
    """The ids before the first end-of-text."""
    return ids[: ids.index(end)] if end in ids else ids


def first_token_seconds(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, engine: RecordingEngine, texts: list[str], tokens: int
) -> dict[str, float]:
    """Median seconds from the question to the first token, alone on the machine."""
    settings: dict[str, Any] = {"max_new_tokens": tokens, "do_sample": False, "pad_token_id": tokenizer.eos_token_id}
    pipe = pipeline("text-generation", model=model, tokenizer=tokenizer, device=model.device)
    seconds: dict[str, list[float]] = {"this pipeline": [], "model.generate, row by row": [], "pipeline": []}
    for text in texts[:FIRST_TOKEN_QUESTIONS]:
        began = time.perf_counter()
        decoder = engine.decoder()
        decoder.add(encode(tokenizer, [text])[0], Sampling(max_new_tokens=tokens))
        seconds["this pipeline"].append(time.perf_counter() - began)
        for name in ("model.generate, row by row", "pipeline"):
            watch, began = Watch(), time.perf_counter()
            if name == "pipeline":
                pipe(text, streamer=watch, **settings)
            else:
                prompt = torch.tensor(encode(tokenizer, [text]), device=model.device)  # (1, T)
                model.generate(prompt, attention_mask=torch.ones_like(prompt), streamer=watch, **settings)
            seconds[name].append(watch.first - began)
    return {name: round(statistics.median(values), 4) for name, values in seconds.items()}


def measure(name: str, count: int, tokens: int, rounds: int) -> dict[str, Any]:
    """All ways on one model, in turn, `rounds` times."""
    model, tokenizer = load(name)
    device: Any = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = model.to(device)
    began = time.perf_counter()
    engine = RecordingEngine(model, tokenizer)
    start = time.perf_counter() - began
    texts = [Prompt().question_text(question) for question in questions_of(count)]
    every = ways(model, tokenizer, engine, texts, tokens)
    seconds: dict[str, list[float]] = {way: [] for way in every}
    answers: dict[str, Ids] = {}
    for number in range(rounds):
        for way, run in every.items():
            began = time.perf_counter()
            answers[way] = run()
            seconds[way].append(time.perf_counter() - began)
            say("generate", f"{name}, round {number + 1}: {way} {seconds[way][-1]:.1f} s")
    medians = {way: statistics.median(values) for way, values in seconds.items()}
    # A way that differs in one token goes on differently: compare whole answers.
    ours = answers["this pipeline"]
    differing = {way: sum(a != b for a, b in zip(ids, ours, strict=True)) for way, ids in answers.items()}
    # An end-of-text token counts too.
    total = {way: sum(min(len(ids) + 1, tokens) for ids in rows) for way, rows in answers.items()}
    return {
        "model": name,
        "weights": sum(weight.numel() for weight in model.parameters()),
        "questions": count,
        "max_tokens": tokens,
        "engine_start_seconds": round(start, 2),
        "seconds": {way: [round(value, 2) for value in values] for way, values in seconds.items()},
        "tokens_per_second": {way: round(total[way] / medians[way], 1) for way in medians},
        "ratio": {way: round(medians[way] / medians["this pipeline"], 2) for way in medians},
        "differing_answers": differing,
        "first_token_seconds": first_token_seconds(model, tokenizer, engine, texts, tokens),
    }


def table(result: dict[str, Any]) -> str:
    """The lines in Markdown."""
    rows = [
        f"{result['machine']}, {result['threads']} threads, medians of {result['rounds']} rounds in turn:",
        "",
        "| model | way | tokens/s | times as slow | first token, ms | answers that differ |",
        "|---|---|---|---|---|---|",
    ]
    for line in result["lines"]:
        for way in line["ratio"]:
            first = line["first_token_seconds"].get(way)
            cells = [line["model"], way, line["tokens_per_second"][way], line["ratio"][way]]
            cells += [
                "" if first is None else round(first * 1e3, 1),
                f"{line['differing_answers'][way]} of {line['questions']}",
            ]
            rows.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(rows)


def main() -> None:
    """Measure, write OUT.json, print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.generation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--models", nargs="+", default=["models/tiny", "82M"])
    parser.add_argument("--questions", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=60, help="of an answer at most")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--page", action="store_true", help="put the table into docs/performance.md")
    options = parser.parse_args()
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    result: dict[str, Any] = {"machine": machine() + gpu, "threads": torch.get_num_threads()}
    result |= {"rounds": options.rounds, "lines": []}
    for name in options.models:
        result["lines"].append(measure(name, options.questions, options.tokens, options.rounds))
        options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(table(result))
    if options.page:
        write_section("generation", table(result))


if __name__ == "__main__":
    main()
