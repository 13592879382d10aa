"""The Flask application: the page, what the page asks for, the API, and one form for all errors."""

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

WEB = Path(__file__).parent / "page"
PAGE_FILES = ("app.js", "notices.js", "panels.js", "server.js", "store.js", "turns.js", "style.css", "icon.svg")

log = logging.getLogger("lockstep.serve")


def create_app(service: Service, access: Access, card: list[dict[str, Any]], log_prompts: bool = False) -> Flask:
    """The application. card: as model_panel.read_card gives it. log_prompts: write what people ask to the log."""
    app = Flask(__name__, static_folder=None)
    protect(app, access)
    _errors(app)
    _log(app, log_prompts)
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
        given = parse_request(CorrectionRequest, request.get_data())
        try:
            append_correction(given.question, given.answer, given.verdict)
        except LockstepError as error:
            log.error("a correction was not kept: %s", error)
            raise ApiError(500, "The correction could not be kept; the server's log says why.", "not_kept") from None
        return jsonify({"kept": True}), 201

    return app


def describe_model(service: Service, card: list[dict[str, Any]]) -> dict[str, Any]:
    """What the page shows about the model and offers as settings."""
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
    response = send_from_directory(WEB, name)
    response.headers["Cache-Control"] = "no-cache"
    return response


def _errors(app: Flask) -> None:
    """Every error as JSON of one form; what went wrong inside goes to the log, not to the client."""

    @app.errorhandler(ApiError)
    def known(error: ApiError) -> tuple[Response, int, dict[str, str]]:
        return jsonify(error.body()), error.status, error.headers

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> tuple[Response, int, dict[str, str]]:
        status = error.code or 500
        words = {404: "There is nothing at this address.", 405: "This address takes another method.",
                 413: "The body is too large."}  # fmt: skip
        allowed = {"Allow": ", ".join(sorted(error.valid_methods or ()))} if hasattr(error, "valid_methods") else {}
        known = ApiError(status, words.get(status, error.name + "."), (error.name or "error").lower().replace(" ", "_"))
        return jsonify(known.body()), status, allowed

    @app.errorhandler(Exception)
    def unknown(error: Exception) -> tuple[Response, int]:
        log.exception("a request failed")
        return jsonify(ApiError(500, "The server failed on this request.", "server_failed").body()), 500


def _log(app: Flask, log_prompts: bool) -> None:
    """One line a request: method, path, status, time; the body only when asked for."""

    @app.before_request
    def begin() -> None:
        g.began = time.monotonic()
        if log_prompts and request.method == "POST":
            log.info("asked %r", request.get_data().decode(errors="replace"))

    @app.after_request
    def end(response: Response) -> Response:
        path = ascii(request.path[:100])[1:-1]  # no line break or control character of a stranger's in the log
        seconds = time.monotonic() - g.get("began", time.monotonic())
        log.info("%s %s %d %.2fs", request.method, path, response.status_code, seconds)
        return response
