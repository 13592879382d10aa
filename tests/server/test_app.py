"""The application around the API: statuses of errors, corrections, the log."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from serving import app_of, chat

from lockstep.server.access import Access
from lockstep.server.app import create_app


def test_other_problems_have_their_status(client: FlaskClient) -> None:
    def code(response: Any) -> tuple[int, str]:
        return response.status_code, response.get_json()["error"]["code"]

    assert code(client.post("/v1/chat/completions", json=chat(model="gpt-9"))) == (404, "model_not_found")
    assert code(client.get("/v1/models/gpt-9")) == (404, "model_not_found")
    assert code(client.get("/v1/nothing")) == (404, "not_found")
    assert code(client.get("/../stages/serve.py")) == (404, "not_found")
    assert code(client.get("/v1/chat/completions"))[0] == 405
    assert code(client.post("/v1/chat/completions", data="{}")) == (415, "not_json")
    assert code(client.post("/v1/chat/completions", json=chat("x" * 70_000)))[0] == 413


def test_inner_errors_tell_nothing_of_the_machine(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("/home/somebody/secret.txt is broken")

    monkeypatch.setattr("lockstep.server.service.prompt_ids", fail)
    response = client.post("/v1/chat/completions", json=chat())
    assert (response.status_code, b"secret" in response.data, b"Traceback" in response.data) == (500, False, False)


def test_corrections_are_kept(client: FlaskClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    row = {"question": "why?", "answer": "because", "verdict": "fixed"}
    assert client.post("/api/corrections", json=row).status_code == 201
    assert client.post("/api/corrections", json={**row, "verdict": "great"}).status_code == 400
    lines = (tmp_path / "data/raw/corrections.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [row]


def test_what_people_ask_is_not_logged_unless_wanted(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), app_of() as (app, service):
        app.test_client().post("/v1/chat/completions", json=chat("my secret"))
        assert "POST /v1/chat/completions 200" in caplog.text
        assert "secret" not in caplog.text
        create_app(service, Access("127.0.0.1"), [], log_prompts=True).test_client().post(
            "/v1/completions", json=chat("my secret")
        )
        assert "my secret" in caplog.text
