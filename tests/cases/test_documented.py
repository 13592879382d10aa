"""The lines docs/reliability.md shows are lines that bad input really ends in."""

from pathlib import Path

from tests.cases.test_json import BAD as JSON
from tests.cases.test_settings import BAD as PARAMS
from tests.cases.test_tables import BAD as TABLES

DOCS = Path(__file__).parents[2] / "docs/reliability.md"


def test_every_error_shown_is_one_that_the_tests_meet() -> None:
    section = DOCS.read_text(encoding="utf-8").partition("## Bad input")[2]
    shown = [line.removeprefix("error: ") for line in section.splitlines() if line.startswith("error: ")]
    met = {said for _, _, said in (*TABLES.values(), *JSON.values())}
    met |= {f"params.yaml: {said} Put it right there." for _, _, said in PARAMS}
    assert len(shown) == 5
    assert set(shown) <= met
