"""Who is let in, and the headers of each response."""

import pytest
from flask.testing import FlaskClient
from serving import app_of, chat

from lockstep.server.access import Access

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


def test_every_response_restricts_what_a_browser_does(client: FlaskClient) -> None:
    for path in ("/", "/style.css", "/v1/models", "/nothing"):
        headers = client.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
    page = client.get("/").get_data(as_text=True)
    assert not [mark for mark in ("<style", " style=", "onclick", "http://", "https://") if mark in page]
