"""Errors of the API in the form OpenAI's clients understand: {"error": {message, type, param, code}}."""

import math
from typing import Any

from lockstep.server.scheduler import RefusedError

RETRY_SECONDS = 2  # that a client is asked to wait when the queue is full: about one answer's time


class ApiError(Exception):
    """An error that the client is told.

    status: HTTP status. code: a short identifier for programs. param: the field it is about. headers: sent with it.
    """

    def __init__(
        self, status: int, message: str, code: str, param: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param
        self.headers = headers or {}

    def body(self) -> dict[str, Any]:
        """The JSON body of the response."""
        kind = {401: "authentication_error", 403: "permission_error"}.get(self.status)
        kind = kind or ("invalid_request_error" if self.status < 500 else "server_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


def api_error(refused: RefusedError, seconds: float) -> ApiError:
    """The error of the API for a request that the scheduler refused. seconds: for one answer, waiting included."""
    retry = {"Retry-After": str(RETRY_SECONDS)}
    match refused.reason:
        case "full":
            return ApiError(503, "Too many people are asking; try again in a moment.", "queue_full", headers=retry)
        case "stopping":
            return ApiError(503, "The server is stopping.", "stopping", headers=retry)
        case "late":
            message = f"No place became free within {math.ceil(seconds)} seconds; try again in a moment."
            return ApiError(503, message, "queue_late", headers=retry)
        case _:
            return ApiError(500, "The model failed on this request.", "model_failed")
