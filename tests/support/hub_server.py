"""A Hub on loopback: as much of its API as huggingface_hub needs to upload and download a model."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_of_the_tests"


@dataclass
class Repository:
    """A repository of one commit. files: path -> content. large: paths of files kept in Git LFS."""

    private: bool = False
    files: dict[str, bytes] = field(default_factory=dict)
    large: set[str] = field(default_factory=set)

    @property
    def commit(self) -> str:
        """The commit's id: 40 hex digits of a hash of the files."""
        return hashlib.sha1(repr(sorted(self.files.items())).encode(), usedforsecurity=False).hexdigest()


@dataclass
class Hub:
    """The server's state. objects: SHA-256 -> content of uploaded LFS files. requests: "METHOD path" of each so far.
    refuse: part of a path -> status to send instead of an answer."""

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    refuse: dict[str, int] = field(default_factory=dict)


class Handler(BaseHTTPRequestHandler):
    """The handler of requests."""

    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""

    def answer(self, status: int, value: Any = None, content: bytes = b"", **headers: str) -> None:
        """Send a value as JSON, or bytes."""
        body = content if value is None else json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_one(self) -> None:
        """Answer any request."""
        path = unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.hub.requests.append(f"{self.command} {path}")
        refused = next((status for part, status in self.hub.refuse.items() if part in path), None)
        if refused:
            self.answer(refused, {"error": "refused by the test"})
        elif path.startswith("/objects/"):
            self.hub.objects[path.rpartition("/")[2]] = body
            self.answer(200)
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}" and self.is_private(path):
            self.answer(401, {"error": "Invalid username or password."}, X_Error_Code="RepoNotFound")
        elif self.command == "POST":
            self.post(path, body)
        else:
            self.get(path)

    do_GET = do_POST = do_PUT = do_HEAD = handle_one

    def is_private(self, path: str) -> bool:
        """Whether a request needs the token: every write does, and reading a private repository."""
        name = self.name_in(path)
        return self.command == "POST" or (name in self.hub.repositories and self.hub.repositories[name].private)

    def name_in(self, path: str) -> str:
        """owner/name of the repository in a path."""
        parts = path.removeprefix("/api/models").strip("/").split("/")
        return "/".join(parts[:2]).removesuffix(".git")

    def post(self, path: str, body: bytes) -> None:
        """Writes: create a repository, choose how to upload, commit."""
        name = self.name_in(path)
        if path == "/api/repos/create":
            self.create(json.loads(body))
        elif path == "/api/validate-yaml":
            self.answer(200, {"errors": [], "warnings": []})
        elif "/preupload/" in path:
            files = json.loads(body)["files"]
            modes = [
                {**file, "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular"} for file in files
            ]
            self.answer(200, {"files": [{**file, "shouldIgnore": False} for file in modes]})
        elif path.endswith("/objects/batch"):
            objects = json.loads(body)["objects"]
            upload = [{"upload": {"href": f"{self.hub.url}/objects/{one['oid']}"}} for one in objects]
            self.answer(200, {"objects": [{**one, "actions": u} for one, u in zip(objects, upload, strict=True)]})
        elif "/commit/" in path:
            self.commit(self.hub.repositories[name], body, name)
        else:
            self.answer(404, {"error": "no such thing"})

    def create(self, wanted: dict[str, Any]) -> None:
        """Create a repository; status 409 if it exists."""
        name = f"{wanted.get('organization') or 'me'}/{wanted['name']}"
        is_new = name not in self.hub.repositories
        if is_new:
            self.hub.repositories[name] = Repository(private=wanted.get("visibility") == "private")
        self.answer(200 if is_new else 409, {"url": f"{self.hub.url}/{name}", "error": "already there"})

    def commit(self, repository: Repository, body: bytes, name: str) -> None:
        """Put the files of a commit into the repository."""
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                repository.files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                content = self.hub.objects[value["oid"]]
                assert hashlib.sha256(content).hexdigest() == value["oid"]
                repository.files[value["path"]] = content
                repository.large.add(value["path"])
            elif entry["key"] == "deletedFile":
                del repository.files[value["path"]]
        oid = repository.commit
        self.answer(200, {"commitUrl": f"{self.hub.url}/{name}/commit/{oid}", "commitOid": oid})

    def get(self, path: str) -> None:
        """Reads: the facts about a repository, its listing and its files."""
        name = self.name_in(path)
        repository = self.hub.repositories.get(name)
        if repository is None:
            self.answer(404, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")
            return
        revision, file = self.revision_and_file(path, name)
        if revision not in ("main", repository.commit):
            self.answer(404, {"error": "Invalid rev id"}, X_Error_Code="RevisionNotFound")
        elif "/resolve/" in path:
            self.file(repository, file)
        elif "/tree/" in path:
            self.answer(200, [self.entry(repository, one) for one in sorted(repository.files)])
        else:
            siblings = [{"rfilename": one} for one in sorted(repository.files)]
            about = {"_id": "1", "id": name, "modelId": name, "private": repository.private, "siblings": siblings}
            self.answer(200, {**about, "sha": repository.commit, "tags": [], "downloads": 0, "likes": 0})

    def revision_and_file(self, path: str, name: str) -> tuple[str, str]:
        """The revision in a path ('main' without one) and the file after it."""
        rest = path.partition(f"{name}/")[2].split("/")
        return (rest[1], "/".join(rest[2:])) if len(rest) > 1 else ("main", "")

    def file(self, repository: Repository, name: str) -> None:
        """One file."""
        content = repository.files.get(name)
        if content is None:
            self.answer(
                404, {"error": "Entry not found"}, X_Error_Code="EntryNotFound", X_Repo_Commit=repository.commit
            )
            return
        etag = hashlib.sha256(content).hexdigest()
        self.answer(200, content=content, ETag=f'"{etag}"', X_Repo_Commit=repository.commit)

    def entry(self, repository: Repository, name: str) -> dict[str, Any]:
        """An entry of a listing."""
        content = repository.files[name]
        oid = hashlib.sha256(content).hexdigest()
        large = {"lfs": {"oid": oid, "size": len(content), "pointerSize": 130}} if name in repository.large else {}
        return {"type": "file", "path": name, "size": len(content), "oid": oid[:40], **large}


@contextmanager
def local_hub() -> Iterator[Hub]:
    """A Hub that runs as long as the block."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("HubHandler", (Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
