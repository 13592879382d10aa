"""Bodies of requests: a wrong one is a 400 that names the first wrong field."""

import json
from typing import Any

import pytest
from flask.testing import FlaskClient
from serving import chat

BAD_FIELDS: list[tuple[dict[str, Any], str]] = [
    ({"messages": []}, "messages"),
    ({"messages": "hello"}, "messages"),
    ({"messages": [{"role": "wizard", "content": "hi"}]}, "messages"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages"),
    ({"messages": [{"role": "user", "content": "  "}]}, "messages"),
    ({"messages": [{"role": "user", "content": "half \ud800"}]}, "messages"),
    ({"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]}, "messages"),
    (chat(max_tokens=-1), "max_tokens"),
    (chat(max_tokens=0), "max_tokens"),
    (chat(max_tokens=10**9), "max_tokens"),
    (chat(max_tokens=10**30), "max_tokens"),
    (chat(max_tokens="8"), "max_tokens"),
    (chat(max_tokens=2.5), "max_tokens"),
    (chat(temperature=-0.1), "temperature"),
    (chat(temperature="hot"), "temperature"),
    (chat(temperature=True), "temperature"),
    (chat(top_p=0), "top_p"),
    (chat(top_k=-3), "top_k"),
    (chat(repetition_penalty=0), "repetition_penalty"),
    (chat(seed=-1), "seed"),
    (chat(stop=["a"] * 5), "stop"),
    (chat(stop=""), "stop"),
    (chat(stream="yes"), "stream"),
    (chat(n=2), "n"),
    (chat(frequency_penalty=0.5), "frequency_penalty"),
    (chat(tools=[{"type": "function"}]), "tools"),
    ({"model": "tiny"}, "messages"),
]


@pytest.mark.parametrize(("body", "param"), BAD_FIELDS)
def test_a_bad_field_is_named_in_a_400(client: FlaskClient, body: dict[str, Any], param: str) -> None:
    response = client.post("/v1/chat/completions", json=body)
    error = response.get_json()["error"]
    assert (response.status_code, error["type"]) == (400, "invalid_request_error")
    assert error["param"].split(".")[0] == param
    assert param in error["message"]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe{}", b'{"a": NaN}', b"[" * 60_000, b"1" * 6000, b'{"a"\x00: 1}'],
)
def test_a_body_that_is_no_json_object_is_a_400(client: FlaskClient, body: bytes) -> None:
    response = client.post("/v1/chat/completions", data=body, content_type="application/json")
    assert (response.status_code, response.get_json()["error"]["type"]) == (400, "invalid_request_error")


def test_infinite_numbers_are_refused(client: FlaskClient) -> None:
    body = json.dumps(chat())[:-1] + ', "temperature": 1e999}'
    response = client.post("/v1/chat/completions", data=body, content_type="application/json")
    assert response.get_json()["error"]["param"] == "temperature"
