"""Prompts made of requests, and requests that can't be met."""

from typing import Any

import pytest
from flask.testing import FlaskClient
from serving import CONTEXT, app_of, assistant, chat, conversation_answer

from lockstep.generation.conversation import Turn


def test_a_prompt_longer_than_the_context_is_a_400_and_a_long_question_loses_its_beginning(client: FlaskClient) -> None:
    long = "what is a mean? " * 200
    refused = client.post("/v1/completions", json={"prompt": long})
    assert (refused.status_code, refused.get_json()["error"]["code"]) == (400, "context_length_exceeded")
    assert client.post("/v1/completions", json={"prompt": [1, 10**9]}).status_code == 400
    answer = client.post("/v1/chat/completions", json=chat(long)).get_json()
    assert answer["usage"]["prompt_tokens"] == CONTEXT - 12
    assert answer["lockstep"]["prompt_tokens_cut"] > 100


def test_messages_become_turns_as_the_terminal_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(
        "lockstep.server.service.prompt_ids",
        lambda model, turns, question, limit: seen.append((turns, question)) or [5],
    )
    messages = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "1"},
        {"role": "user", "content": "two"},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": [{"type": "text", "text": "thr"}, {"type": "text", "text": "ee"}]},
        {"role": "user", "content": "and four"},
    ]
    with app_of() as (app, _):
        for count in (0, 1, 5):
            app.test_client().post("/v1/chat/completions", json={"messages": messages, "history_turns": count})
    one, two = Turn("one", "1"), Turn("two", "2")
    assert seen == [([], "three\nand four"), ([two], "three\nand four"), ([one, two], "three\nand four")]


def test_a_full_server_says_503_and_when_to_come_back() -> None:
    with app_of(max_batch_size=1, max_waiting=0, max_new_tokens=400) as (app, service):
        running = service.scheduler.submit([5], assistant(max_new_tokens=400).sampling, 30)
        response = app.test_client().post("/v1/chat/completions", json=chat())
        running.cancel()
    assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
    assert response.get_json()["error"]["code"] == "queue_full"


def test_a_text_model_goes_on_without_the_template_as_the_terminal_does() -> None:
    expected = conversation_answer("the sum", "text")
    with app_of(kind="text") as (app, _):
        answer = app.test_client().post("/v1/chat/completions", json=chat("the sum")).get_json()
        same = app.test_client().post("/v1/completions", json={"prompt": "the sum"}).get_json()
        assert app.test_client().get("/api/model").get_json()["kind"] == "text"
    assert answer["choices"][0]["message"]["content"] == same["choices"][0]["text"] == expected
