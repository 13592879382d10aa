"""HTTP over bare sockets, for requests that no well-behaved client sends."""

import json
import socket
from http.client import HTTPConnection
from typing import Any


def request_bytes(body: dict[str, Any], path: str = "/v1/chat/completions") -> bytes:
    """A POST request as it goes over the wire."""
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


def read_all(connection: socket.socket) -> bytes:
    """Everything until the connection is closed."""
    received = b""
    while True:
        try:
            data = connection.recv(65536)
        except ConnectionResetError:
            return received
        if not data:
            return received
        received += data


def chunked_body(response: bytes) -> bytes:
    """The body of a response in chunked transfer encoding."""
    return b"".join(response.partition(b"\r\n\r\n")[2].split(b"\r\n")[1::2])


def answers_questions(port: int) -> bool:
    """Whether a server completes a text."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", "/v1/completions", json.dumps({"prompt": "a"}), {"Content-Type": "application/json"})
    return connection.getresponse().status == 200
