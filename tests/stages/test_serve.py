"""The server as a command."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from raw_http import chunked_body, read_all, request_bytes
from serving import chat, events, save_tiny

from lockstep.core.errors import LockstepError
from stages.serve import argument_parser

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


def test_the_command_serves_ends_streams_with_an_error_at_sigterm_and_leaves_no_trace(export: Path) -> None:
    with command("--model", str(export), "--port", "0", "--grace", "0") as process:
        with socket.create_connection(("127.0.0.1", port_of(process)), timeout=30) as connection:
            connection.sendall(request_bytes(chat(stream=True, max_tokens=500, stop="\u2603", temperature=0)))
            first = connection.recv(65536)
            process.send_signal(signal.SIGTERM)
            response = first + read_all(connection)
        output, log = process.communicate(timeout=20)
    assert response.startswith(b"HTTP/1.1 200")
    assert response.endswith(b"0\r\n\r\n")
    last = events(chunked_body(response))[-1]
    # On an idle machine the answer may be complete before the signal arrives: then it ends as any answer does.
    assert last["error"]["code"] == "stopping" if "error" in last else last["choices"][0]["finish_reason"]
    assert (process.returncode, output) == (0, "serve     stopped\n")
    assert "Traceback" not in log


def test_other_machines_are_let_in_with_a_key_only() -> None:
    with command("--host", "0.0.0.0", LOCKSTEP_API_KEY="") as process:
        output, log = process.communicate(timeout=60)
    assert (process.returncode, output) == (2, "")
    assert log.startswith("error: --host 0.0.0.0 ") and "LOCKSTEP_API_KEY" in log
    assert log.count("\n") == 1


def test_help_comes_without_torch_or_flask() -> None:
    code = "import sys; from stages.serve import argument_parser; argument_parser(); print({'torch', 'flask'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize("arguments", [["--places", "8"], ["--places=8"], ["--places"]])
def test_the_old_name_of_a_flag_is_answered_with_the_new_one(
    arguments: list[str],
) -> None:
    with pytest.raises(LockstepError, match=r"--places .* --max-batch-size"):
        argument_parser().parse_args(arguments)
    assert "--places" not in argument_parser().format_help()
