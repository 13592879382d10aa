"""Chatting on the web page in a real browser, with a two-layer model behind it."""

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import Browser, Page, expect
from serving import conversation_answer, slow_down
from talking import Site, answers, ask, expected, finished, opened

SCRIPT = "<script>window.hurt = 1</script><img src=x onerror='window.hurt = 1'>"


def exactly(text: str) -> re.Pattern[str]:
    """Matches the whole text; Playwright squeezes blanks where it gets a string."""
    return re.compile(r"\s+".join(re.escape(word) for word in text.split()))


def corrections() -> list[dict[str, str]]:
    return [json.loads(line) for line in Path("data/raw/corrections.jsonl").read_text().splitlines()]


def test_an_answer_streams_and_is_the_terminals(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    slow_down(monkeypatch, 0.03)
    ask(page, "what is a mean?")
    expect(answers(page)).not_to_be_empty()
    assert page.locator(".answer").get_attribute("aria-busy") == "true"
    finished(page)
    assert answers(page).text_content() == expected("what is a mean?")
    expect(page.locator(".note")).to_have_text("Ended at the longest length.")


@pytest.mark.parametrize("by", ["button", "Escape"])
def test_stop_keeps_what_was_said(page: Page, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    slow_down(monkeypatch, 0.1)
    ask(page, "what is a mean?")
    expect(answers(page)).not_to_be_empty()
    page.get_by_role("button", name="Stop").click() if by == "button" else page.keyboard.press("Escape")
    finished(page)
    expect(page.locator(".note")).to_have_text("Stopped.")
    whole, kept = expected("what is a mean?"), answers(page).text_content() or ""
    assert 0 < len(kept) < len(whole)
    assert whole.startswith(kept)


def test_retry_asks_the_same_again_and_edit_another(page: Page) -> None:
    ask(page, "what is a mean?")
    finished(page)
    page.get_by_role("button", name="Retry").click()
    finished(page)
    assert answers(page).all_text_contents() == [expected("what is a mean?")]
    ask(page, "second")
    finished(page, 2)
    page.get_by_role("button", name="Edit the question").first.click()
    page.get_by_role("textbox", name="The question").fill("what is a sum?")
    page.get_by_role("button", name="Ask again").click()
    finished(page)
    assert page.locator(".question .text").all_text_contents() == ["what is a sum?"]
    assert answers(page).all_text_contents() == [expected("what is a sum?")]


def test_verdicts_and_a_better_answer_go_to_the_corrections(page: Page) -> None:
    ask(page, "what is a mean?")
    finished(page)
    for name in ("Good answer", "Bad answer"):
        page.get_by_role("button", name=name).click()
        expect(page.get_by_role("button", name=name)).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Fix the answer").click()
    page.get_by_role("textbox", name="The right answer").fill("The sum, divided.")
    page.get_by_role("button", name="Keep").click()
    expect(page.locator(".note")).to_have_text("The right answer: The sum, divided.")
    answer = expected("what is a mean?")
    rows = [(row["question"], row["answer"], row["verdict"]) for row in corrections()]
    texts = [(answer, "good"), (answer, "bad"), ("The sum, divided.", "fixed")]
    assert rows == [("what is a mean?", text, verdict) for text, verdict in texts]


def test_conversations_are_found_again_after_a_reload(page: Page) -> None:
    ask(page, "what is a mean?")
    finished(page)
    page.get_by_role("button", name="New conversation").click()
    expect(answers(page)).to_have_count(0)
    ask(page, "another one")
    finished(page)
    page.reload()
    assert page.locator(".question .text").all_text_contents() == ["another one"]
    page.get_by_role("button", name="what is a mean?", exact=True).click()
    assert answers(page).all_text_contents() == [expected("what is a mean?")]
    page.get_by_role("button", name="Delete what is a mean?").click()
    page.reload()
    expect(page.locator("#conversation-list li")).to_have_count(1)


def test_markup_in_question_and_answer_is_text(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "lockstep.server.scheduler.GenerationRequest.stream", lambda self, is_gone: iter([SCRIPT[:9], SCRIPT[9:]])
    )
    ask(page, SCRIPT)
    finished(page)
    assert answers(page).text_content() == page.locator(".question .text").text_content() == SCRIPT
    assert page.locator("#conversation-list .open").text_content() == SCRIPT
    page.reload()
    assert answers(page).text_content() == SCRIPT
    assert page.locator("main script, main img").count() == 0
    assert page.evaluate("() => window.hurt === undefined")


def test_the_page_waits_for_a_server_that_went_away(page: Page, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    slow_down(monkeypatch, 0.1)
    ask(page, "what is a mean?")
    expect(answers(page)).not_to_be_empty()
    site.down()
    finished(page)
    expect(page.locator(".note")).to_have_text("The server is stopping.")
    ask(page, "anybody there?")
    expect(page.locator("#banner")).to_contain_text("can't be reached")
    monkeypatch.undo()
    site.up()
    expect(page.locator("#banner")).to_be_hidden()
    page.get_by_role("button", name="Retry").click()
    expect(answers(page).last).to_have_text(exactly(expected("anybody there?")))


def test_a_text_model_continues_what_was_begun(chromium: Browser) -> None:
    site = Site(kind="text", max_new_tokens=10)
    page = opened(chromium, site)
    expect(page.get_by_placeholder("Begin a text")).to_be_visible()
    ask(page, "the sum")
    finished(page)
    first = conversation_answer("the sum", "text", max_new_tokens=10)
    assert page.locator(".text").text_content() == "the sum" + first
    page.get_by_role("button", name="Continue").click()
    finished(page, 2)
    second = conversation_answer("the sum" + first, "text", max_new_tokens=10)
    assert page.locator(".text").last.text_content() == "the sum" + first + second
    expect(page.get_by_role("button", name="Good answer")).to_have_count(0)
    page.context.close()
    site.down()
