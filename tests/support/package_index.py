"""A package index on loopback: a folder of wheels, as pip asks for them."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest


@dataclass
class Index:
    """The server's state. requests: the paths asked for so far."""

    folder: Path
    url: str = ""
    requests: list[str] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    """The handler of requests: a page of links for a package, and the files themselves."""

    index: Index

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""

    def do_GET(self) -> None:
        """Answer with a page of the package's files, or with a file."""
        self.index.requests.append(self.path)
        name = self.path.strip("/").split("/")[-1]
        if self.path.startswith("/files/"):
            self.answer((self.index.folder / name).read_bytes(), "application/octet-stream")
            return
        prefix = name.replace("-", "_")
        files = [path.name for path in sorted(self.index.folder.glob("*.whl")) if path.name.startswith(f"{prefix}-")]
        if files:
            links = "".join(f'<a href="/files/{file}">{file}</a>' for file in files)
            self.answer(f"<!DOCTYPE html><html><body>{links}</body></html>".encode(), "text/html")
        else:
            self.send_error(404)

    def answer(self, content: bytes, kind: str) -> None:
        """Send bytes."""
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def local_index(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    """An index that runs as long as the block, and is the one that pip asks."""
    index = Index(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("IndexHandler", (Handler,), {"index": index}))
    index.url = f"http://127.0.0.1:{server.server_port}"
    use_index(index.url, monkeypatch)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield index
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def use_index(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have pip ask this index and no other, whatever this machine is set up for."""
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", f"{url}/simple")
