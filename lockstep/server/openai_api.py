"""The HTTP API in OpenAI's form: /v1/chat/completions, /v1/completions, /v1/models."""

import json
import logging
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from flask import Blueprint, Response, jsonify, request

from lockstep.server.errors import api_error
from lockstep.server.requests import ChatRequest, CompletionRequest, SamplingFields, parse_request
from lockstep.server.scheduler import ClientGoneError, GenerationRequest, RefusedError
from lockstep.server.service import Service

log = logging.getLogger("lockstep.serve")


@dataclass(slots=True)
class Reply:
    """The answer to a request in the JSON of one of the two endpoints, whole or as server-sent events.

    chat: of /v1/chat/completions, else of /v1/completions. strip: leave out blanks around the answer, as the terminal
    does with answers to questions. prompt_tokens_cut: tokens the question lost. include_usage: end a stream with the
    numbers of tokens.
    """

    service: Service
    generation: GenerationRequest
    chat: bool
    strip: bool
    prompt_tokens_cut: int = 0
    include_usage: bool = False
    id: str = field(default_factory=lambda: secrets.token_hex(12))
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, is_gone: Callable[[], bool]) -> dict[str, Any]:
        """The JSON of a complete answer. Raises as GenerationRequest.stream does."""
        text = "".join(self._chunks(is_gone))
        content = {"message": {"role": "assistant", "content": text}} if self.chat else {"text": text}
        choice = {"index": 0, **content, "logprobs": None, "finish_reason": self.generation.answer.finish_reason}
        return self._envelope([choice], streamed=False) | {"usage": self._usage()} | self._extensions()

    def events(self, is_gone: Callable[[], bool]) -> Iterator[bytes]:
        """The answer as server-sent events with [DONE] at the end, or with an error event where it is broken off."""
        try:
            if self.chat:
                yield self._chunk_event({"delta": {"role": "assistant", "content": ""}})
            for chunk in self._chunks(is_gone):
                yield self._chunk_event({"delta": {"content": chunk}} if self.chat else {"text": chunk})
            end: dict[str, Any] = {"delta": {}} if self.chat else {"text": ""}
            yield self._chunk_event(end, self.generation.answer.finish_reason)
            if self.include_usage:
                yield _event(self._envelope([], streamed=True) | {"usage": self._usage()})
            yield b"data: [DONE]\n\n"
        except RefusedError as refused:
            yield _event(api_error(refused, self.service.seconds).body())
        except ClientGoneError:
            pass

    def _chunks(self, is_gone: Callable[[], bool]) -> Iterator[str]:
        chunks = self.generation.stream(is_gone)
        return stripped(chunks) if self.strip else chunks

    def _chunk_event(self, content: dict[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, **content, "logprobs": None, "finish_reason": finish_reason}
        return _event(self._envelope([choice], streamed=True) | (self._extensions() if finish_reason else {}))

    def _envelope(self, choices: list[dict[str, Any]], streamed: bool) -> dict[str, Any]:
        kind = f"chat.completion{'.chunk' if streamed else ''}" if self.chat else "text_completion"
        name = f"{'chatcmpl' if self.chat else 'cmpl'}-{self.id}"
        model = self.service.assistant.name
        return {"id": name, "object": kind, "created": self.created, "model": model, "choices": choices}

    def _usage(self) -> dict[str, int]:
        prompt, completion = len(self.generation.prompt), self.generation.answer.tokens
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}

    def _extensions(self) -> dict[str, Any]:
        """What OpenAI's form has no field for; clients skip it."""
        return {"lockstep": {"prompt_tokens_cut": self.prompt_tokens_cut}} if self.prompt_tokens_cut else {}


def openai_api(service: Service) -> Blueprint:
    """The routes under /v1."""
    api = Blueprint("openai", __name__, url_prefix="/v1")

    @api.get("/models")
    def models() -> Response:
        return jsonify({"object": "list", "data": [_model(service)]})

    @api.get("/models/<name>")
    def model(name: str) -> Response:
        service.check_model(name)
        return jsonify(_model(service))

    @api.post("/chat/completions")
    def chat() -> Response:
        fields = parse_request(ChatRequest, request.get_data())
        generation, cut = service.submit_chat(fields)
        is_qa = service.assistant.prompt.kind == "qa"
        return _respond(Reply(service, generation, chat=True, strip=is_qa, prompt_tokens_cut=cut), fields)

    @api.post("/completions")
    def completions() -> Response:
        fields = parse_request(CompletionRequest, request.get_data())
        return _respond(Reply(service, service.submit_completion(fields), chat=False, strip=False), fields)

    return api


def _respond(reply: Reply, fields: SamplingFields) -> Response:
    # Waitress tells through this whether the connection is closed; other servers do not tell.
    is_gone: Callable[[], bool] = request.environ.get("waitress.client_disconnected", lambda: False)
    began = time.monotonic()
    if not fields.stream:
        try:
            response = jsonify(reply.whole(is_gone))
        except RefusedError as refused:
            raise api_error(refused, reply.service.seconds) from None
        except ClientGoneError:
            response = Response(status=499)  # nobody reads it
        _log_answer(reply.generation, began)
        return response
    reply.include_usage = bool(fields.stream_options and fields.stream_options.include_usage)
    response = Response(reply.events(is_gone), mimetype="text/event-stream")
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"  # a proxy in front must not gather events either

    def close() -> None:  # runs even when the client left before the first event
        reply.generation.cancel()
        _log_answer(reply.generation, began)

    response.call_on_close(close)
    return response


def _log_answer(generation: GenerationRequest, began: float) -> None:
    first = "-" if generation.first_token_seconds is None else f"{generation.first_token_seconds:.2f}"
    seconds = time.monotonic() - began
    counts = f"prompt={len(generation.prompt)} tokens={generation.answer.tokens}"
    log.info("answered %s first=%ss all=%.2fs", counts, first, seconds)


def _model(service: Service) -> dict[str, Any]:
    return {"id": service.assistant.name, "object": "model", "created": service.started, "owned_by": "lockstep"}


def _event(value: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(value, allow_nan=False)}\n\n".encode()


def stripped(chunks: Iterator[str]) -> Iterator[str]:
    """Text chunks without the blanks before the first word and after the last."""
    held, started = "", False
    for chunk in chunks:
        text = held + chunk if started else chunk.lstrip()
        kept = text.rstrip()
        held = text[len(kept) :] if kept or started else ""
        if kept:
            started = True
            yield kept
