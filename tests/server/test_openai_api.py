"""The API's answers, and its refusals, without a network."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from serving import CONTEXT, app_of, assistant, chat, events, said

from lockstep.generation.conversation import Conversation, Turn
from lockstep.server.access import Access
from lockstep.server.card_markdown import CARD_CHARACTERS, card_sections, read_card
from lockstep.server.openai_api import trimmed


@pytest.fixture(scope="module")
def client() -> Iterator[FlaskClient]:
    with app_of() as (app, _):
        yield app.test_client()


@pytest.mark.parametrize("settings", [{}, {"temperature": 0.8, "top_p": 0.9, "top_k": 50, "seed": 7}])
def test_api_streamed_or_not_and_terminal_give_the_same_answer(client: FlaskClient, settings: dict[str, Any]) -> None:
    talk = assistant()
    expected = "".join(Conversation(talk, talk.sampling.but(**settings)).ask("what is a mean?")).strip()
    whole = client.post("/v1/chat/completions", json=chat(**settings)).get_json()
    stream = client.post("/v1/chat/completions", json=chat(**settings, stream=True))
    assert whole["choices"][0]["message"] == {"role": "assistant", "content": expected}
    assert (expected != "", said(events(stream.data))) == (True, expected)


def test_a_stream_has_openais_frames_and_the_usage_when_asked(client: FlaskClient) -> None:
    body = chat(stream=True, stream_options={"include_usage": True}, max_tokens=4)
    response = client.post("/v1/chat/completions", json=body)
    frames = events(response.data)
    assert response.mimetype == "text/event-stream"
    assert {frame["object"] for frame in frames} == {"chat.completion.chunk"}
    assert frames[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [choice["finish_reason"] for frame in frames for choice in frame["choices"]][-1] == "length"
    assert (frames[-1]["choices"], frames[-1]["usage"]["completion_tokens"]) == ([], 4)


def test_completions_go_on_from_text_and_from_its_ids(client: FlaskClient) -> None:
    ids = assistant().tokenizer("what is a")["input_ids"]
    answers = [
        client.post("/v1/completions", json={"prompt": prompt, "max_tokens": 6}).get_json()
        for prompt in ("what is a", ["what is a"], ids)
    ]
    assert [answer["usage"]["prompt_tokens"] for answer in answers] == [len(ids)] * 3
    assert len({answer["choices"][0]["text"] for answer in answers}) == 1
    assert answers[0]["object"] == "text_completion"


def test_a_stop_text_ends_the_answer_and_is_not_part_of_it(client: FlaskClient) -> None:
    text = client.post("/v1/completions", json={"prompt": "a", "max_tokens": 30}).get_json()["choices"][0]["text"]
    stop = text[5:8]
    choice = client.post("/v1/completions", json={"prompt": "a", "max_tokens": 30, "stop": stop}).get_json()["choices"][
        0
    ]
    assert (choice["text"], choice["finish_reason"]) == (text[: text.find(stop)], "stop")


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


def test_a_prompt_longer_than_the_context_is_a_400_and_a_long_question_loses_its_beginning(client: FlaskClient) -> None:
    long = "what is a mean? " * 200
    refused = client.post("/v1/completions", json={"prompt": long})
    assert (refused.status_code, refused.get_json()["error"]["code"]) == (400, "context_length_exceeded")
    assert client.post("/v1/completions", json={"prompt": [1, 10**9]}).status_code == 400
    answer = client.post("/v1/chat/completions", json=chat(long)).get_json()
    assert answer["usage"]["prompt_tokens"] == CONTEXT - 12
    assert answer["lockstep"]["prompt_tokens_cut"] > 100


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


def test_messages_become_turns_as_the_terminal_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(
        "lockstep.server.service.prompt_ids", lambda talk, turns, question, room: seen.append((turns, question)) or [5]
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
    with app_of(places=1, queue=0, max_new_tokens=400) as (app, service):
        going = service.scheduler.submit([5], assistant(max_new_tokens=400).sampling, 30)
        response = app.test_client().post("/v1/chat/completions", json=chat())
        going.cancel()
    assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
    assert response.get_json()["error"]["code"] == "queue_full"


KEY = "correct-horse-battery"


def test_with_a_key_only_those_who_show_it_are_answered() -> None:
    with app_of(Access("0.0.0.0", KEY)) as (app, _):
        client = app.test_client()
        for path in ("/v1/models", "/api/model"):
            statuses = [
                client.get(path, headers={"Authorization": value}).status_code
                for value in ("", "Bearer", "Bearer wrong", f"Basic {KEY}", "Bearer größe", f"Bearer {KEY}")
            ]
            assert statuses == [401] * 5 + [200]
        assert client.post("/api/corrections", json={}).status_code == 401
        assert [client.get(path).status_code for path in ("/", "/app.js", "/healthz")] == [200] * 3


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "localhost:5000"}, 200),
        ({"Host": "[::1]:5000"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "127.0.0.1:5000", "Origin": "http://127.0.0.1:5000"}, 200),
    ],
)
def test_other_sites_pages_and_names_are_turned_away(client: FlaskClient, headers: dict[str, str], status: int) -> None:
    assert client.get("/v1/models", headers=headers).status_code == status


def test_cors_is_for_listed_origins_only(client: FlaskClient) -> None:
    ask = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    assert "Access-Control-Allow-Origin" not in client.options("/v1/chat/completions", headers=ask).headers
    with app_of(Access("127.0.0.1", origins=("https://app.example",))) as (app, _):
        listed = app.test_client().options("/v1/chat/completions", headers=ask)
        assert listed.headers["Access-Control-Allow-Origin"] == "https://app.example"
        answer = app.test_client().post("/v1/chat/completions", json=chat(), headers={"Origin": "https://app.example"})
        assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (200, "https://app.example")
        other = app.test_client().options("/v1/models", headers={**ask, "Origin": "https://evil.example"})
        assert "Access-Control-Allow-Origin" not in other.headers
        assert (
            app.test_client().post("/api/corrections", json={}, headers={"Origin": "https://app.example"}).status_code
            == 400
        )


def test_every_answer_ties_the_browsers_hands(client: FlaskClient) -> None:
    for path in ("/", "/style.css", "/v1/models", "/nothing"):
        headers = client.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
    page = client.get("/").get_data(as_text=True)
    assert not [mark for mark in ("<style", " style=", "onclick", "http://", "https://") if mark in page]


def test_corrections_are_kept(client: FlaskClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    row = {"question": "why?", "answer": "because", "verdict": "fixed"}
    assert client.post("/api/corrections", json=row).status_code == 201
    assert client.post("/api/corrections", json={**row, "verdict": "great"}).status_code == 400
    lines = (tmp_path / "data/raw/corrections.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [row]


def test_what_people_ask_is_not_logged_unless_wanted(caplog: pytest.LogCaptureFixture) -> None:
    from lockstep.server.app import create_app

    with caplog.at_level(logging.INFO), app_of() as (app, service):
        app.test_client().post("/v1/chat/completions", json=chat("my secret"))
        assert "POST /v1/chat/completions 200" in caplog.text
        assert "secret" not in caplog.text
        create_app(service, Access("127.0.0.1"), [], log_prompts=True).test_client().post(
            "/v1/completions", json=chat("my secret")
        )
        assert "my secret" in caplog.text


def test_a_text_model_goes_on_without_the_template_as_the_terminal_does() -> None:
    talk = assistant("text")
    expected = "".join(Conversation(talk, talk.sampling).ask("the sum"))
    with app_of(kind="text") as (app, _):
        answer = app.test_client().post("/v1/chat/completions", json=chat("the sum")).get_json()
        same = app.test_client().post("/v1/completions", json={"prompt": "the sum"}).get_json()
        assert app.test_client().get("/api/model").get_json()["kind"] == "text"
    assert answer["choices"][0]["message"]["content"] == same["choices"][0]["text"] == expected


def test_a_card_becomes_plain_data() -> None:
    card = (
        "---\ntags: [x]\n---\n\n# A <b>model</b>\nTwo *fine*\nlines of `code`.\n\n"
        "| | base |\n|---|:-:|\n| loss | 2.5 |\n\nAfter.\n\n```py\n# no heading\n```\n\n***\n"
    )
    assert card_sections(card) == [
        {
            "heading": "A <b>model</b>",
            "blocks": [
                {"text": "Two fine lines of code."},
                {"table": [["", "base"], ["loss", "2.5"]]},
                {"text": "After."},
                {"code": "# no heading"},
            ],
        }
    ]


def test_a_cards_lists_and_quotations_keep_their_shape() -> None:
    card = "- one\n  - inner\n- two\n\n  more\n\n3. third\n\n> said\n"
    assert card_sections(card) == [
        {
            "heading": "",
            "blocks": [
                {"list": [[{"text": "one"}, {"list": [[{"text": "inner"}]]}], [{"text": "two"}, {"text": "more"}]]},
                {"list": [[{"text": "third"}]], "start": 3},
                {"quote": [{"text": "said"}]},
            ],
        }
    ]


@pytest.mark.parametrize(
    ("markdown", "text"),
    [
        ("<div onclick='x'>\nraw\n</div>", "<div onclick='x'> raw </div>"),
        ("a <script>alert(1)</script>", "a <script>alert(1)</script>"),
        ("[the base](https://example.org)", "the base (https://example.org)"),
        ("<https://example.org>", "https://example.org"),
        ("[run](javascript:alert(1))", "[run](javascript:alert(1))"),
        ("![a chart](chart.png)", "a chart"),
    ],
)
def test_html_links_and_pictures_of_a_card_are_plain_text(markdown: str, text: str) -> None:
    assert card_sections(markdown) == [{"heading": "", "blocks": [{"text": text}]}]


def test_a_folder_without_a_card_has_none_and_a_long_card_is_cut(tmp_path: Path) -> None:
    assert read_card(tmp_path) == []
    (tmp_path / "README.md").write_text("x" * (CARD_CHARACTERS + 5), encoding="utf-8")
    assert read_card(tmp_path) == [{"heading": "", "blocks": [{"text": "x" * CARD_CHARACTERS}]}]


def test_blanks_around_an_answer_are_trimmed_however_it_is_cut() -> None:
    assert list(trimmed(iter([" ", " a", " ", "\n", "b ", " "]))) == ["a", " \nb"]
    assert list(trimmed(iter(["  ", "\n"]))) == []
