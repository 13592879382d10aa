"""The page around the talk: colours, sizes, keyboard, settings, key, other hosts, accessibility."""

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import Browser, Page, expect
from talking import Site, ask, finished, opened


def test_dark_follows_the_system_until_the_person_chooses(chromium: Browser, site: Site) -> None:
    page = opened(chromium, site, color_scheme="dark")
    root = page.locator("html")
    expect(root).to_have_attribute("data-theme", "dark")
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("Colours").select_option("light")
    expect(root).to_have_attribute("data-theme", "light")
    page.reload()
    expect(root).to_have_attribute("data-theme", "light")
    page.context.close()


def test_a_phone_of_360_pixels_shows_everything(chromium: Browser, site: Site) -> None:
    page = opened(chromium, site, viewport={"width": 360, "height": 640}, has_touch=True, is_mobile=True)
    ask(page, "what is a mean? " + "w" * 200)
    finished(page)
    fits = "() => document.documentElement.scrollWidth <= 360 && document.body.scrollWidth <= 360"
    assert page.evaluate(fits)
    expect(page.locator("#conversations")).to_be_hidden()
    page.get_by_role("button", name="Conversations", exact=True).tap()
    expect(page.get_by_role("button", name="New conversation")).to_be_in_viewport()
    page.get_by_role("button", name="New conversation").tap()
    expect(page.locator("#conversations")).to_be_hidden()
    for panel in ("About the model", "Settings"):
        page.get_by_role("button", name=panel).tap()
        assert page.evaluate(fits)
        page.locator("dialog:modal [data-close]").tap()
    expect(page.locator("#send")).to_be_in_viewport()
    page.context.close()


def test_everything_works_by_keyboard_alone(page: Page) -> None:
    def tab_to(name: str) -> None:
        for _ in range(40):
            page.keyboard.press("Tab")
            label = "() => document.activeElement.ariaLabel || document.activeElement.textContent.trim()"
            if page.evaluate(label) == name:
                return
        raise AssertionError(f"Tab does not come to {name}")

    page.keyboard.type("what is a mean?")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("and why?")
    page.keyboard.press("Enter")
    finished(page)
    assert page.locator(".question .text").text_content() == "what is a mean?\nand why?"
    tab_to("Good answer")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Good answer")).to_be_focused()
    tab_to("Settings")
    page.keyboard.press("Enter")
    tab_to("Close settings")
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Settings")).to_be_focused()
    tab_to("Skip to the question field")
    page.keyboard.press("Enter")
    expect(page.locator("#question")).to_be_focused()


def test_settings_reach_the_model_and_bad_ones_do_not(page: Page) -> None:
    page.get_by_role("button", name="Settings").click()
    expect(page.get_by_label("Longest answer")).to_have_attribute("placeholder", "40")
    page.get_by_label("Longest answer").fill("3")
    page.get_by_label("Temperature").fill("-4")
    expect(page.get_by_label("Temperature")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#settings-problem")).to_contain_text("Temperature")
    page.keyboard.press("Escape")
    with page.expect_request("**/v1/chat/completions") as sent:
        ask(page, "what is a mean?")
    body = sent.value.post_data_json
    assert (body["max_tokens"], "temperature" in body) == (3, False)


def test_a_server_with_a_key_is_asked_with_it(chromium: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    from lockstep.server.access import Access

    locked = Site(access=Access("127.0.0.1", "correct-horse-battery"))
    page = chromium.new_context().new_page()
    page.goto(f"http://127.0.0.1:{locked.port}/")
    page.get_by_label("Key of the server").fill("correct-horse-battery")
    page.keyboard.press("Enter")
    expect(page.locator("#model-name")).to_have_text("tiny")
    page.keyboard.press("Escape")
    ask(page, "what is a mean?")
    finished(page)
    page.context.close()
    locked.down()


def test_the_panel_shows_the_model_card_and_none_of_its_html(chromium: Browser) -> None:
    card = (
        "# Card\n\nA <b onclick='x'>bold</b> [claim](https://example.org).\n\n| | base |\n|---|---|\n| loss | 2.5 |\n\n"
        "- one\n  - inner\n\n3. third\n\n> said\n\n```\ncode\n```\n\n<img src=x onerror=alert(1)>\n"
    )
    site = Site(card=card)
    page = opened(chromium, site)
    page.get_by_role("button", name="About the model").click()
    shown = page.locator("#card")
    expect(shown.locator("h3")).to_have_text("Card")
    expect(shown.locator("> p")).to_have_text(
        ["A <b onclick='x'>bold</b> claim (https://example.org).", "<img src=x onerror=alert(1)>"]
    )
    expect(shown.locator("td")).to_have_text(["loss", "2.5"])
    expect(shown.locator("ul ul li")).to_have_text("inner")
    expect(shown.locator("ol[start='3'] li")).to_have_text("third")
    expect(shown.locator("blockquote")).to_have_text("said")
    expect(shown.locator("pre")).to_have_text("code")
    expect(shown.locator("b, img, script, a")).to_have_count(0)
    page.context.close()
    site.down()


def test_the_page_asks_no_other_host(chromium: Browser, site: Site) -> None:
    page = chromium.new_context().new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"http://127.0.0.1:{site.port}/")
    expect(page.locator("#model-name")).to_have_text("tiny")
    assert len(asked) > 5
    assert {url.split("/")[2] for url in asked} == {f"127.0.0.1:{site.port}"}
    page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_violation(chromium: Browser, site: Site, axe: str, scheme: str) -> None:
    page = opened(chromium, site, color_scheme=scheme, bypass_csp=True, reduced_motion="reduce")
    page.evaluate(axe)

    def violations() -> list[str]:
        found = page.evaluate("() => axe.run()")["violations"]
        return [f"{v['id']}: {v['nodes'][0]['html']}" for v in found if v["impact"] in ("serious", "critical")]

    assert violations() == []
    ask(page, "what is a mean?")
    finished(page)
    page.get_by_role("button", name="Good answer").click()
    page.get_by_role("button", name="Fix the answer").click()
    assert violations() == []
    for panel in ("About the model", "Settings"):
        page.get_by_role("button", name=panel).click()
        assert violations() == [], panel
        page.keyboard.press("Escape")
    page.context.close()
