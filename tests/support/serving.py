"""For tests of generation and server: a two-layer model with random weights, an app around it, a server in a thread."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from flask import Flask
from transformers import AutoModelForCausalLM, GenerationConfig, GPT2Config

from lockstep.artifacts.prompt import Prompt, write_prompt
from lockstep.generation.conversation import Assistant, Conversation
from lockstep.generation.decoder import Decoder, Sequence
from lockstep.generation.engine import Answer, Engine
from lockstep.generation.sampling import Sampling
from lockstep.modeling.model import save_model
from lockstep.pretrained.tokenizer import train_tokenizer
from lockstep.server.access import Access
from lockstep.server.app import create_app
from lockstep.server.card_markdown import card_sections
from lockstep.server.scheduler import Scheduler
from lockstep.server.service import Service
from lockstep.server.waitress_server import WebServer, serve_until

torch.set_num_threads(1)  # threads that wait for each other on a busy machine make a small model crawl

TEXTS = ["Question: what is a mean? Answer: it is the sum, divided. Größe – naïve 日本語."] * 4
CONTEXT = 512


@cache
def tiny() -> tuple[Any, Any]:
    """Model and tokenizer. The weights are large, so that answers vary."""
    tokenizer = train_tokenizer(TEXTS, 300, CONTEXT)
    torch.manual_seed(1)
    shape = {"n_positions": CONTEXT, "n_embd": 32, "n_layer": 2, "n_head": 2, "initializer_range": 0.3}
    config = GPT2Config(vocab_size=len(tokenizer), eos_token_id=0, bos_token_id=0, **shape)
    return AutoModelForCausalLM.from_config(config), tokenizer


def save_tiny(folder: Path, kind: str = "qa") -> Path:
    """The model as an export."""
    model, tokenizer = tiny()
    save_model(model, tokenizer, folder, GenerationConfig(eos_token_id=0, max_new_tokens=12, repetition_penalty=1.1))
    write_prompt(folder, Prompt(kind=kind))  # type: ignore[arg-type]
    (folder / "README.md").write_text("# tiny\n\n| | base | this model |\n|---|---|---|\n| loss | 2.5 | 1.25 |\n")
    return folder


@cache
def engine() -> Engine:
    """The model as an engine, one for all tests."""
    return Engine(*tiny())


def assistant(kind: str = "qa", **sampling: Any) -> Assistant:
    """The model to talk to, named tiny."""
    settings = Sampling(max_new_tokens=12, repetition_penalty=1.1).replace(**sampling)
    return Assistant(engine(), Prompt(kind=kind), settings, 0, "tiny")  # type: ignore[arg-type]


@contextmanager
def app_of(
    access: Access | None = None,
    kind: str = "qa",
    max_batch_size: int = 8,
    max_waiting: int = 8,
    seconds: float = 30,
    card: str = "",
    **sampling: Any,
) -> Iterator[tuple[Flask, Service]]:
    """An application with a scheduler that ends with the block."""
    model = assistant(kind, **sampling)
    service = Service(model, Scheduler(model.engine, max_batch_size, max_waiting), seconds, 0)
    try:
        yield create_app(service, access or Access("127.0.0.1"), card_sections(card)), service
    finally:
        service.scheduler.stop(0)


@contextmanager
def served(app: Flask, service: Service, grace: float = 0, threads: int = 24, port: int = 0) -> Iterator[int]:
    """The application under the real server, in a thread; gives its port."""
    server = WebServer(app, "127.0.0.1", port, threads)
    stop = threading.Event()
    thread = threading.Thread(target=serve_until, args=(server, stop, lambda: service.scheduler.stop(grace)))
    thread.start()
    try:
        yield int(server.effective_port)
    finally:
        stop.set()
        thread.join()


def chat(question: str = "what is a mean?", **fields: Any) -> dict[str, Any]:
    """Body of a chat request."""
    return {"messages": [{"role": "user", "content": question}], **fields}


def events(body: bytes) -> list[dict[str, Any]]:
    """The JSON of each event of a stream that must end with [DONE], or with an error."""
    parts = [part.removeprefix(b"data: ") for part in body.split(b"\n\n") if part]
    assert body.endswith(b"\n\n")
    if parts[-1] == b"[DONE]":
        parts.pop()
    else:
        assert "error" in json.loads(parts[-1])
    return [json.loads(part) for part in parts]


def content(chunks: list[dict[str, Any]]) -> str:
    """The text of a chat's events."""
    return "".join(choice["delta"].get("content", "") for chunk in chunks for choice in chunk.get("choices", []))


def alone(prompt: list[int], sampling: Sampling) -> Answer:
    """The answer to one prompt, decoded by itself."""
    answer = Answer()
    list(engine().stream_into(answer, prompt, sampling))
    return answer


def conversation_answer(question: str, kind: str = "qa", **sampling: Any) -> str:
    """The answer that a conversation in the terminal gives to a first question."""
    model = assistant(kind, **sampling)
    answer = "".join(Conversation(model, model.sampling).ask(question))
    return answer.strip() if kind == "qa" else answer


def slow_down(monkeypatch: pytest.MonkeyPatch, seconds: float = 0.02) -> None:
    """Make each step of the decoder take so much longer."""
    step = Decoder.step

    def slow_step(self: Decoder) -> list[Sequence]:
        time.sleep(seconds)
        return step(self)

    monkeypatch.setattr(Decoder, "step", slow_step)


def eventually(condition: Callable[[], bool], seconds: float = 5) -> bool:
    """Whether a condition comes true in time."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True
