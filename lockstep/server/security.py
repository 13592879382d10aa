"""Access checks on each request, and response headers that restrict what a browser does with the page."""

import hmac
from urllib.parse import urlsplit

from flask import Flask, Response, request

from lockstep.server.access import Access
from lockstep.server.errors import ApiError

MAX_BODY_BYTES = 64 * 1024  # of a request
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


def protect(app: Flask, access: Access) -> None:
    """Check each request before the app handles it, and put the headers on each response."""
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES

    @app.before_request
    def check() -> None:
        _check_host(access)
        if request.method == "OPTIONS":  # CORS preflight: flask-cors or nobody answers
            return
        _check_origin(access)
        guarded = request.path.startswith(("/v1/", "/api/"))
        if guarded and access.key is not None:
            _check_key(access.key)
        if request.method == "POST" and request.mimetype != "application/json":
            # Also keeps foreign pages out: a browser sends JSON across origins only where CORS allows it.
            raise ApiError(415, "Content-Type must be application/json.", "not_json")

    @app.after_request
    def add_headers(response: Response) -> Response:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        if not access.origins:
            response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        return response

    if access.origins:
        from flask_cors import CORS

        CORS(app, resources={r"/v1/.*": {"origins": list(access.origins)}}, methods=["GET", "POST"], max_age=600)


def _check_host(access: Access) -> None:
    """Refuse other host names on loopback: a foreign page can make its own name point here (DNS rebinding)."""
    if not access.loopback:
        return
    try:
        name = urlsplit(f"//{request.host}").hostname
    except ValueError:
        name = None
    if name not in (*LOOPBACK_NAMES, access.host):
        raise ApiError(403, "Use the address 127.0.0.1 or localhost.", "wrong_host")


def _check_origin(access: Access) -> None:
    origin = request.headers.get("Origin")
    if origin is None or origin in access.origins:
        return
    if origin.partition("://")[2] != request.host:
        raise ApiError(403, "Pages of other sites may not use this server.", "wrong_origin")


def _check_key(key: str) -> None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), key.encode()):
        message = "A key is needed: send it as Authorization: Bearer KEY."
        raise ApiError(401, message, "invalid_api_key", headers={"WWW-Authenticate": "Bearer"})
