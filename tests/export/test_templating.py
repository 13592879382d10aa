"""The Jinja environment of report, comment and model card."""

from pathlib import Path
from typing import Any

import pytest
from jinja2 import UndefinedError

from lockstep.export.templating import environment


def render(folder: Path, template: str, autoescape: bool = False, **values: Any) -> str:
    (folder / "page.j2").write_text(template)
    templates = environment(folder, autoescape, shout=str.upper)
    return templates.get_template("page.j2").render(**values)


def test_a_name_without_a_value_is_an_error_and_not_blank(tmp_path: Path) -> None:
    with pytest.raises(UndefinedError, match="missing"):
        render(tmp_path, "{{ missing }}")


def test_a_line_with_only_a_block_leaves_no_empty_line(tmp_path: Path) -> None:
    template = "a\n{% for word in words %}\n  {% if word %}\n{{ word }}\n  {% endif %}\n{% endfor %}\nb\n"
    assert render(tmp_path, template, words=["x", "", "y"]) == "a\nx\ny\nb\n"


@pytest.mark.parametrize(("autoescape", "text"), [(True, "&lt;B&gt;"), (False, "<B>")])
def test_filters_are_called_by_name_and_html_is_escaped_where_wanted(
    tmp_path: Path, autoescape: bool, text: str
) -> None:
    assert render(tmp_path, "{{ word | shout }}", autoescape, word="<b>") == text
