"""The sections of docs/performance.md that benchmarks write."""

from pathlib import Path

import pytest
from projects import ROOT

from benchmarks.page_section import write_section


def test_a_section_of_the_page_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A\n<!-- one: begin -->\nold\n<!-- one: end -->\n<!-- two: begin -->\nkept\n<!-- two: end -->\n")
    write_section("one", "new", page)
    assert (
        page.read_text()
        == "# A\n<!-- one: begin -->\nnew\n<!-- one: end -->\n<!-- two: begin -->\nkept\n<!-- two: end -->\n"
    )


@pytest.mark.parametrize("name", ["data at scale", "generation", "start-up"])
def test_the_page_has_a_place_for_each_table(name: str) -> None:
    page = (ROOT / "docs/performance.md").read_text(encoding="utf-8")
    assert page.count(f"<!-- {name}: begin -->\n") == page.count(f"<!-- {name}: end -->") == 1
