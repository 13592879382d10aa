"""The HTTP API in OpenAI's form: /v1/chat/completions, /v1/completions, /v1/models."""

import json
import logging
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from flask import Blueprint, Response, jsonify, request

from lockstep.server.errors import refusal
from lockstep.server.requests import ChatRequest, CompletionRequest, Generation, parse_request
from lockstep.server.scheduler import GoneError, RefusedError, Ticket
from lockstep.server.service import Service

log = logging.getLogger("lockstep.serve")


@dataclass(slots=True)
class Reply:
    """An answer on its way out, in the words of one of the two endpoints.

    trim: leave out blanks around the answer, as the terminal does with answers to questions. cut: tokens the question
    lost. frames: the same answer as server-sent events.
    """

    service: Service
    ticket: Ticket
    chat: bool
    trim: bool
    cut: int = 0
    usage_frame: bool = False
    id: str = field(default_factory=lambda: secrets.token_hex(12))
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, gone: Callable[[], bool]) -> dict[str, Any]:
        """The JSON of a complete answer. Raises RefusedError and GoneError as Ticket.pieces does."""
        text = "".join(self._pieces(gone))
        said = {"message": {"role": "assistant", "content": text}} if self.chat else {"text": text}
        choice = {"index": 0, **said, "logprobs": None, "finish_reason": self.ticket.answer.finish}
        return self._envelope([choice], streamed=False) | {"usage": self._usage()} | self._notes()

    def frames(self, gone: Callable[[], bool]) -> Iterator[bytes]:
        """The answer as server-sent events, [DONE] at its end; an error frame instead where it is broken off."""
        try:
            if self.chat:
                yield self._frame({"delta": {"role": "assistant", "content": ""}})
            for piece in self._pieces(gone):
                yield self._frame({"delta": {"content": piece}} if self.chat else {"text": piece})
            end: dict[str, Any] = {"delta": {}} if self.chat else {"text": ""}
            yield self._frame(end, self.ticket.answer.finish)
            if self.usage_frame:
                yield _event(self._envelope([], streamed=True) | {"usage": self._usage()})
            yield b"data: [DONE]\n\n"
        except RefusedError as refused:
            yield _event(refusal(refused, self.service.seconds).body())
        except GoneError:
            pass

    def _pieces(self, gone: Callable[[], bool]) -> Iterator[str]:
        pieces = self.ticket.pieces(gone)
        return trimmed(pieces) if self.trim else pieces

    def _frame(self, said: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, **said, "logprobs": None, "finish_reason": finish}
        return _event(self._envelope([choice], streamed=True) | (self._notes() if finish else {}))

    def _envelope(self, choices: list[dict[str, Any]], streamed: bool) -> dict[str, Any]:
        kind = f"chat.completion{'.chunk' if streamed else ''}" if self.chat else "text_completion"
        name = f"{'chatcmpl' if self.chat else 'cmpl'}-{self.id}"
        model = self.service.assistant.name
        return {"id": name, "object": kind, "created": self.created, "model": model, "choices": choices}

    def _usage(self) -> dict[str, int]:
        asked, made = len(self.ticket.prompt), self.ticket.answer.tokens
        return {"prompt_tokens": asked, "completion_tokens": made, "total_tokens": asked + made}

    def _notes(self) -> dict[str, Any]:
        """What OpenAI's form has no word for; clients pass over it."""
        return {"lockstep": {"prompt_tokens_cut": self.cut}} if self.cut else {}


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
        asked = parse_request(ChatRequest, request.get_data())
        ticket, cut = service.ask(asked)
        return _answer(Reply(service, ticket, chat=True, trim=service.assistant.prompt.kind == "qa", cut=cut), asked)

    @api.post("/completions")
    def completions() -> Response:
        asked = parse_request(CompletionRequest, request.get_data())
        return _answer(Reply(service, service.complete(asked), chat=False, trim=False), asked)

    return api


def _answer(reply: Reply, asked: Generation) -> Response:
    # Waitress says through this whether the connection is closed; under another server nobody can tell.
    gone: Callable[[], bool] = request.environ.get("waitress.client_disconnected", lambda: False)
    began = time.monotonic()
    if not asked.stream:
        try:
            response = jsonify(reply.whole(gone))
        except RefusedError as refused:
            raise refusal(refused, reply.service.seconds) from None
        except GoneError:
            response = Response(status=499)  # nobody reads it
        _log_answer(reply.ticket, began)
        return response
    reply.usage_frame = bool(asked.stream_options and asked.stream_options.include_usage)
    response = Response(reply.frames(gone), mimetype="text/event-stream")
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"  # a proxy in front must not gather frames either

    def close() -> None:  # runs even when the client left before the first frame
        reply.ticket.cancel()
        _log_answer(reply.ticket, began)

    response.call_on_close(close)
    return response


def _log_answer(ticket: Ticket, began: float) -> None:
    first = f"{ticket.first:.2f}" if ticket.first is not None else "-"
    seconds = time.monotonic() - began
    counts = f"prompt={len(ticket.prompt)} tokens={ticket.answer.tokens}"
    log.info("answered %s first=%ss all=%.2fs", counts, first, seconds)


def _model(service: Service) -> dict[str, Any]:
    return {"id": service.assistant.name, "object": "model", "created": service.started, "owned_by": "lockstep"}


def _event(value: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(value, allow_nan=False)}\n\n".encode()


def trimmed(pieces: Iterator[str]) -> Iterator[str]:
    """Pieces without the blanks before the first word and after the last."""
    held, started = "", False
    for piece in pieces:
        text = held + piece if started else piece.lstrip()
        kept = text.rstrip()
        held = text[len(kept) :] if kept or started else ""
        if kept:
            started = True
            yield kept
