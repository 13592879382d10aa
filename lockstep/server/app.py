"""The Flask application: the page, the page's own endpoints, the OpenAI API, and one form for all errors."""

import logging
import time
from pathlib import Path
from typing import Any

from flask import Flask, Response, g, jsonify, request, send_from_directory
from werkzeug.exceptions import HTTPException

from lockstep.chat.feedback import append_correction
from lockstep.core.errors import LockstepError
from lockstep.server.access import Access
from lockstep.server.errors import ApiError
from lockstep.server.openai_api import openai_api
from lockstep.server.requests import CorrectionRequest, parse_request
from lockstep.server.security import protect
from lockstep.server.service import Service

PAGE_FOLDER = Path(__file__).parent / "page"
PAGE_FILES = ("app.js", "notices.js", "panels.js", "server.js", "store.js", "turns.js", "style.css", "icon.svg")
HTTP_MESSAGES = {  # by status, in place of Werkzeug's own longer ones
    404: "There is nothing at this address.",
    405: "This address takes another method.",
    413: "The body is too large.",
}

log = logging.getLogger("lockstep.serve")


def create_app(service: Service, access: Access, card: list[dict[str, Any]], log_prompts: bool = False) -> Flask:
    """The application. card: from card_markdown.read_card. log_prompts: write what people ask to the log."""
    app = Flask(__name__, static_folder=None)
    protect(app, access)
    _handle_errors(app)
    _log_requests(app, log_prompts)
    app.register_blueprint(openai_api(service))

    @app.get("/")
    def index() -> Response:
        return _page_file("index.html")

    @app.get("/<any(" + ",".join(f"'{name}'" for name in PAGE_FILES) + "):name>")
    def page_file(name: str) -> Response:
        return _page_file(name)

    @app.get("/healthz")
    def health() -> tuple[Response, int]:
        answering, waiting = service.scheduler.load()
        status = "stopping" if service.scheduler.stopping else "ok"
        return jsonify({"status": status, "answering": answering, "waiting": waiting}), 200 if status == "ok" else 503

    @app.get("/api/model")
    def model() -> Response:
        return jsonify(describe_model(service, card))

    @app.post("/api/corrections")
    def correct() -> tuple[Response, int]:
        correction = parse_request(CorrectionRequest, request.get_data())
        try:
            append_correction(correction.question, correction.answer, correction.verdict)
        except LockstepError as error:
            log.error("a correction was not kept: %s", error)
            raise ApiError(500, "The correction could not be kept; the server's log says why.", "not_kept") from None
        return jsonify({"kept": True}), 201

    return app


def describe_model(service: Service, card: list[dict[str, Any]]) -> dict[str, Any]:
    """What the page shows about the model, and the values of its settings."""
    assistant = service.assistant
    sampling = assistant.sampling
    return {
        "name": assistant.name,
        "kind": assistant.prompt.kind,
        "context": assistant.engine.context,
        "settings": {
            "max_tokens": sampling.max_new_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "repetition_penalty": sampling.repetition_penalty,
            "history_turns": assistant.history_turns,
        },
        "card": card,
    }


def _page_file(name: str) -> Response:
    response = send_from_directory(PAGE_FOLDER, name)
    response.headers["Cache-Control"] = "no-cache"
    return response


def _handle_errors(app: Flask) -> None:
    """Answer every error with JSON of one form; details of our own faults go to the log, not to the client."""

    @app.errorhandler(ApiError)
    def known(error: ApiError) -> tuple[Response, int, dict[str, str]]:
        return jsonify(error.body()), error.status, error.headers

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> tuple[Response, int, dict[str, str]]:
        status = error.code or 500
        allowed = {"Allow": ", ".join(sorted(error.valid_methods or ()))} if hasattr(error, "valid_methods") else {}
        message = HTTP_MESSAGES.get(status, f"{error.name}.")
        code = (error.name or "error").lower().replace(" ", "_")
        return jsonify(ApiError(status, message, code).body()), status, allowed

    @app.errorhandler(Exception)
    def unknown(error: Exception) -> tuple[Response, int]:
        log.exception("a request failed")
        return jsonify(ApiError(500, "The server failed on this request.", "server_failed").body()), 500


def _log_requests(app: Flask, log_prompts: bool) -> None:
    """Log one line a request: method, path, status, time; the body only with log_prompts."""

    @app.before_request
    def begin() -> None:
        g.began = time.monotonic()
        if log_prompts and request.method == "POST":
            log.info("asked %r", request.get_data().decode(errors="replace"))

    @app.after_request
    def end(response: Response) -> Response:
        path = ascii(request.path[:100])[1:-1]  # a stranger's line breaks stay out of the log
        seconds = time.monotonic() - g.get("began", time.monotonic())
        log.info("%s %s %d %.2fs", request.method, path, response.status_code, seconds)
        return response
