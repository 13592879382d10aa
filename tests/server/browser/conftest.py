"""Chromium and a server for the tests of the page; where either is missing, they skip and say why."""

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import running_chromium


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.enable_socket)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The browser that all tests of the page share."""
    with running_chromium() as browser:
        yield browser


@pytest.fixture
def axe() -> str:
    """axe-core's source: AXE_CORE names the file, or an installed axe-playwright-python or node_modules holds it."""
    package = importlib.util.find_spec("axe_playwright_python")
    folders = [*((package and package.submodule_search_locations) or ()), "node_modules/axe-core"]
    candidates = [Path(os.environ.get("AXE_CORE", "-")), *(Path(folder) / "axe.min.js" for folder in folders)]
    script = next((path for path in candidates if path.is_file()), None)
    if script is None:
        pytest.skip("axe-core is not here (npm install axe-core, or name its axe.min.js in AXE_CORE)")
    return script.read_text(encoding="utf-8")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    from talking import Site

    monkeypatch.chdir(tmp_path)
    site = Site(max_new_tokens=40)
    yield site
    site.down()


@pytest.fixture
def page(chromium: Any, site: Any) -> Iterator[Any]:
    from talking import opened

    complaints: list[str] = []
    page = opened(chromium, site)
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    page.context.close()
    assert [text for text in complaints if "Failed to load resource" not in text] == []
