"""Helpers for tests of the chat page: a site that can go down and come back, a page of it, and how to chat there."""

from contextlib import ExitStack
from typing import Any

from playwright.sync_api import Browser, Page, expect
from serving import app_of, conversation_answer, served


class Site:
    """A server on a port of its own that can go down and come back."""

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
    return page.locator(".answer .text")


def finished(page: Page, count: int = 1) -> None:
    expect(page.locator(".answer:not([aria-busy=true]) .actions")).to_have_count(count)


def expected(question: str) -> str:
    return conversation_answer(question, max_new_tokens=40)
