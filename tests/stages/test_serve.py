"""The server as people meet it: over real connections, on loopback."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from serving import app_of, assistant, chat, engine, events, eventually, save_tiny, served

from lockstep.core.errors import LockstepError
from lockstep.generation.conversation import Conversation
from lockstep.generation.decoder import Decoder
from lockstep.server.access import Access, check_access
from lockstep.server.scheduler import Scheduler
from lockstep.server.service import Service
from lockstep.server.waitress_server import WebServer

pytestmark = [pytest.mark.enable_socket]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny")


@contextmanager
def command(*arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    everything = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment}
    line = [sys.executable, "-m", "stages.serve", *arguments]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=everything)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def port_of(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline().split(" (")[0].rpartition(":")[2])


@pytest.fixture
def small() -> Iterator[tuple[int, Service]]:
    with app_of(places=2, queue=1) as (app, service), served(app, service) as port:
        yield port, service


def slow(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    step = Decoder.step
    monkeypatch.setattr(Decoder, "step", lambda self: (time.sleep(seconds), step(self))[1])


def request_bytes(body: dict[str, Any], path: str = "/v1/chat/completions") -> bytes:
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


def is_well(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", "/v1/completions", json.dumps({"prompt": "a"}), {"Content-Type": "application/json"})
    return connection.getresponse().status == 200


def read_all(connection: socket.socket) -> bytes:
    received = b""
    while True:
        try:
            piece = connection.recv(65536)
        except ConnectionResetError:
            return received
        if not piece:
            return received
        received += piece


def test_openais_own_client_chats_and_completes_streaming_and_not(small: tuple[int, Service]) -> None:
    from openai import NotFoundError, OpenAI

    port, _ = small
    client = OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0)
    talk = assistant()
    expected = "".join(Conversation(talk, talk.sampling).ask("what is a mean?")).strip()
    asked: Any = {
        "model": client.models.list().data[0].id,
        "messages": [{"role": "user", "content": "what is a mean?"}],
    }
    assert client.chat.completions.create(**asked).choices[0].message.content == expected
    chunks = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == expected
    assert chunks[-1].usage is not None
    whole = client.completions.create(model="tiny", prompt="a", max_tokens=5)
    pieces = client.completions.create(model="tiny", prompt="a", max_tokens=5, stream=True)
    assert "".join(piece.choices[0].text for piece in pieces) == whole.choices[0].text
    with pytest.raises(NotFoundError, match="gpt-9"):
        client.chat.completions.create(**{**asked, "model": "gpt-9"})


def test_the_command_serves_ends_streams_with_an_error_at_sigterm_and_leaves_no_trace(export: Path) -> None:
    with command("--model", str(export), "--port", "0", "--grace", "0") as process:
        with socket.create_connection(("127.0.0.1", port_of(process)), timeout=30) as connection:
            connection.sendall(request_bytes(chat(stream=True, max_tokens=500, stop="\u2603", temperature=0)))
            first = connection.recv(65536)
            process.send_signal(signal.SIGTERM)
            head, _, body = (first + read_all(connection)).partition(b"\r\n\r\n")
        output, log = process.communicate(timeout=20)
    assert head.startswith(b"HTTP/1.1 200")
    assert body.endswith(b"0\r\n\r\n")
    last = events(b"".join(body.split(b"\r\n")[1::2]))[-1]
    # On an idle machine the answer may be complete before the signal arrives: then it ends as any answer does.
    assert last["error"]["code"] == "stopping" if "error" in last else last["choices"][0]["finish_reason"]
    assert (process.returncode, output) == (0, "serve     stopped\n")
    assert "Traceback" not in log


def test_a_stream_is_broken_off_whole_and_with_an_error_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    slow(monkeypatch, 0.02)
    with app_of(max_new_tokens=400) as (app, service):
        with served(app, service) as port:
            connection = socket.create_connection(("127.0.0.1", port), timeout=30)
            connection.sendall(request_bytes(chat(stream=True)))
            received = connection.recv(65536)
        received += read_all(connection)
    body = received.partition(b"\r\n\r\n")[2]
    assert body.endswith(b"0\r\n\r\n")
    assert events(b"".join(body.split(b"\r\n")[1::2]))[-1]["error"]["code"] == "stopping"


def test_a_client_that_goes_away_frees_its_place(small: tuple[int, Service], monkeypatch: pytest.MonkeyPatch) -> None:
    slow(monkeypatch, 0.02)
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
        assert is_well(port)


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
    assert is_well(port)


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
    assert is_well(port)


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
    assert is_well(port)


def test_a_thousand_idle_connections_leave_room_for_others(small: tuple[int, Service]) -> None:
    port, _ = small
    idle = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(1000)]
    try:
        assert is_well(port)
    finally:
        for connection in idle:
            connection.close()
    assert is_well(port)


def test_a_port_in_use_is_one_clear_line(small: tuple[int, Service]) -> None:
    port, _ = small
    with pytest.raises(LockstepError, match=rf"Cannot listen on 127.0.0.1 port {port}: .* --port"):
        WebServer(object(), "127.0.0.1", port, 1)  # type: ignore[arg-type]


def test_other_machines_are_let_in_with_a_key_only() -> None:
    with command("--host", "0.0.0.0", LOCKSTEP_API_KEY="") as process:
        output, log = process.communicate(timeout=60)
    assert (process.returncode, output) == (2, "")
    assert log.startswith("error: --host 0.0.0.0 lets other machines in, but LOCKSTEP_API_KEY is not set.")
    assert log.count("\n") == 1


@pytest.mark.parametrize("key", ["short", "with blanks in between it", "größer als sechzehn"])
def test_a_poor_key_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(LockstepError, match="no good key") as caught:
        check_access("127.0.0.1", key, [])
    assert key not in str(caught.value)


@pytest.mark.parametrize("origin", ["*", "example.org", "https://example.org/", "ftp://example.org", "https://"])
def test_an_origin_must_be_exact(origin: str) -> None:
    with pytest.raises(LockstepError, match="is no origin"):
        check_access("127.0.0.1", None, [origin])
    assert check_access("::1", None, ["https://example.org:8443"]) == Access("::1", None, ("https://example.org:8443",))


def test_help_comes_without_torch_or_flask() -> None:
    code = "import sys; from stages.serve import parser; parser(); print({'torch', 'flask'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_sixty_four_at_once_get_what_one_alone_gets() -> None:
    crowd = Scheduler(engine(), 64, 0)
    talk = assistant()
    prompts = [Conversation(talk, talk.sampling).prompt_ids(f"what is {n}?") for n in range(64)]
    tickets = [crowd.submit(prompt, talk.sampling.but(max_new_tokens=20), 60) for prompt in prompts]
    texts = ["".join(ticket.pieces()) for ticket in tickets]
    crowd.stop(0)
    assert texts == ["".join(engine().stream(prompt, talk.sampling.but(max_new_tokens=20))) for prompt in prompts]
