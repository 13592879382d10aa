"""The web server over real connections, with clients that are slow, silent, rude or gone."""

import socket
import time

import pytest
from raw_http import answers_questions, chunked_body, read_all, request_bytes
from serving import app_of, chat, events, eventually, served, slow_down

from lockstep.core.errors import LockstepError
from lockstep.server.service import Service
from lockstep.server.waitress_server import WebServer

pytestmark = [pytest.mark.enable_socket]


def test_a_stream_is_broken_off_whole_and_with_an_error_event(monkeypatch: pytest.MonkeyPatch) -> None:
    slow_down(monkeypatch)
    with app_of(max_new_tokens=400) as (app, service):
        with served(app, service) as port:
            connection = socket.create_connection(("127.0.0.1", port), timeout=30)
            connection.sendall(request_bytes(chat(stream=True)))
            received = connection.recv(65536)
        received += read_all(connection)
    assert received.endswith(b"0\r\n\r\n")
    assert events(chunked_body(received))[-1]["error"]["code"] == "stopping"


def test_a_client_that_goes_away_frees_its_place(small: tuple[int, Service], monkeypatch: pytest.MonkeyPatch) -> None:
    slow_down(monkeypatch)
    port, service = small
    for stream in (True, False):
        clients = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(3)]
        for client in clients:
            client.sendall(request_bytes(chat(stream=stream, max_tokens=500)))
        assert eventually(lambda: service.scheduler.load() == (2, 1))
        for client in clients:
            client.close()
        assert eventually(lambda: service.scheduler.load() == (0, 0)), stream


def test_one_who_reads_nothing_slows_nobody(small: tuple[int, Service]) -> None:
    port, service = small
    with socket.create_connection(("127.0.0.1", port), timeout=30) as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        lazy.sendall(request_bytes(chat(stream=True, max_tokens=500)))
        assert eventually(lambda: service.scheduler.load() == (0, 0), 20)
        assert answers_questions(port)


@pytest.mark.parametrize("declared", [True, False])
def test_ten_megabytes_are_refused_with_413(small: tuple[int, Service], declared: bool) -> None:
    port, _ = small
    length = b"Content-Length: 10000000" if declared else b"Transfer-Encoding: chunked"
    head = (
        b"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n" + length + b"\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(head)
        try:
            for _ in range(1000):
                connection.sendall(b"x" * 10_000 if declared else b"2710\r\n" + b"x" * 10_000 + b"\r\n")
        except OSError:
            pass  # refused while we were still sending
        assert read_all(connection).startswith(b"HTTP/1.1 413")
    assert answers_questions(port)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"hello\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", b"431"),
        (b"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -5\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a b\x00\r\n\r\n", b"40"),
        (b"GET /\xff\xfe HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"40"),
    ],
)
def test_what_is_no_request_gets_its_4xx(small: tuple[int, Service], sent: bytes, status: bytes) -> None:
    port, _ = small
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(sent)
        assert connection.recv(65536).split()[1].startswith(status)
    assert answers_questions(port)


def test_headers_that_trickle_are_cut_off(small: tuple[int, Service], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lockstep.server.waitress_server.REQUEST_SECONDS", 0.5)
    port, _ = small
    with socket.create_connection(("127.0.0.1", port), timeout=0.2) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        began = time.monotonic()
        closed = False
        while not closed and time.monotonic() - began < 10:
            try:
                connection.sendall(b"X-Slow: 1\r\n")
                closed = connection.recv(1) == b""
            except TimeoutError:
                continue
            except OSError:
                closed = True
    assert closed
    assert answers_questions(port)


def test_a_thousand_idle_connections_leave_room_for_others(small: tuple[int, Service]) -> None:
    port, _ = small
    idle = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(1000)]
    try:
        assert answers_questions(port)
    finally:
        for connection in idle:
            connection.close()
    assert answers_questions(port)


def test_a_port_in_use_is_one_clear_line(small: tuple[int, Service]) -> None:
    port, _ = small
    with pytest.raises(LockstepError, match=rf"127\.0\.0\.1 port {port}: .* --port"):
        WebServer(object(), "127.0.0.1", port, 1)  # type: ignore[arg-type]
