"""What the tests of the page share: a site that comes and goes, a page of it, and how to talk there."""

import time
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from serving import app_of, assistant, served

from lockstep.generation.conversation import Conversation
from lockstep.generation.decoder import Decoder


class Site:
    """A server on a port of its own that can go away and come back."""

    def __init__(self, **options: Any) -> None:
        self.options, self.stack, self.port = options, ExitStack(), 0
        self.up()

    def up(self) -> None:
        app, service = self.stack.enter_context(app_of(**self.options))
        self.port = self.stack.enter_context(served(app, service, port=self.port))

    def down(self) -> None:
        self.stack.close()


def opened(chromium: Browser, site: Site, **options: Any) -> Page:
    """The page in a fresh browser profile; anything the browser complains of fails the test at close()."""
    page = chromium.new_context(**options).new_page()
    page.set_default_timeout(10_000)
    page.goto(f"http://127.0.0.1:{site.port}/")
    expect(page.locator("#model-name")).to_have_text("tiny")
    return page


def ask(page: Page, question: str) -> None:
    page.locator("#question").fill(question)
    page.keyboard.press("Enter")


def answers(page: Page) -> Any:
    return page.locator(".answer .said")


def finished(page: Page, count: int = 1) -> None:
    expect(page.locator(".answer:not([aria-busy=true]) .actions")).to_have_count(count)


def expected(question: str) -> str:
    talk = assistant(max_new_tokens=40)
    return "".join(Conversation(talk, talk.sampling).ask(question)).strip()


def slow(monkeypatch: pytest.MonkeyPatch, seconds: float = 0.1) -> None:
    step = Decoder.step
    monkeypatch.setattr(Decoder, "step", lambda self: (time.sleep(seconds), step(self))[1])
