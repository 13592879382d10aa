"""Answers of the API, and OpenAI's own client."""

from typing import Any

import pytest
from flask.testing import FlaskClient
from serving import assistant, chat, content, conversation_answer, events

from lockstep.server.openai_api import stripped
from lockstep.server.service import Service


@pytest.mark.parametrize("settings", [{}, {"temperature": 0.8, "top_p": 0.9, "top_k": 50, "seed": 7}])
def test_api_streamed_or_not_and_terminal_give_the_same_answer(client: FlaskClient, settings: dict[str, Any]) -> None:
    expected = conversation_answer("what is a mean?", **settings)
    whole = client.post("/v1/chat/completions", json=chat(**settings)).get_json()
    stream = client.post("/v1/chat/completions", json=chat(**settings, stream=True))
    assert whole["choices"][0]["message"] == {"role": "assistant", "content": expected}
    assert (expected != "", content(events(stream.data))) == (True, expected)


def test_a_stream_has_openais_events_and_the_usage_when_asked(client: FlaskClient) -> None:
    body = chat(stream=True, stream_options={"include_usage": True}, max_tokens=4)
    response = client.post("/v1/chat/completions", json=body)
    chunks = events(response.data)
    assert response.mimetype == "text/event-stream"
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]][-1] == "length"
    assert (chunks[-1]["choices"], chunks[-1]["usage"]["completion_tokens"]) == ([], 4)


def test_completions_go_on_from_text_and_from_its_ids(client: FlaskClient) -> None:
    ids = assistant().tokenizer("what is a")["input_ids"]
    answers = [
        client.post("/v1/completions", json={"prompt": prompt, "max_tokens": 6}).get_json()
        for prompt in ("what is a", ["what is a"], ids)
    ]
    assert [answer["usage"]["prompt_tokens"] for answer in answers] == [len(ids)] * 3
    assert len({answer["choices"][0]["text"] for answer in answers}) == 1
    assert answers[0]["object"] == "text_completion"


def test_a_stop_string_ends_the_answer_and_is_not_part_of_it(client: FlaskClient) -> None:
    text = client.post("/v1/completions", json={"prompt": "a", "max_tokens": 30}).get_json()["choices"][0]["text"]
    stop = text[5:8]
    choice = client.post("/v1/completions", json={"prompt": "a", "max_tokens": 30, "stop": stop}).get_json()["choices"][
        0
    ]
    assert (choice["text"], choice["finish_reason"]) == (text[: text.find(stop)], "stop")


@pytest.mark.enable_socket
def test_openais_own_client_chats_and_completes_streaming_and_not(small: tuple[int, Service]) -> None:
    from openai import NotFoundError, OpenAI

    port, _ = small
    client = OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0)
    expected = conversation_answer("what is a mean?")
    fields: Any = {
        "model": client.models.list().data[0].id,
        "messages": [{"role": "user", "content": "what is a mean?"}],
    }
    assert client.chat.completions.create(**fields).choices[0].message.content == expected
    chunks = list(client.chat.completions.create(**fields, stream=True, stream_options={"include_usage": True}))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == expected
    assert chunks[-1].usage is not None
    whole = client.completions.create(model="tiny", prompt="a", max_tokens=5)
    parts = client.completions.create(model="tiny", prompt="a", max_tokens=5, stream=True)
    assert "".join(part.choices[0].text for part in parts) == whole.choices[0].text
    with pytest.raises(NotFoundError, match="gpt-9"):
        client.chat.completions.create(**{**fields, "model": "gpt-9"})


def test_blanks_around_an_answer_are_trimmed_however_it_is_cut() -> None:
    assert list(stripped(iter([" ", " a", " ", "\n", "b ", " "]))) == ["a", " \nb"]
    assert list(stripped(iter(["  ", "\n"]))) == []
