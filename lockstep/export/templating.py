"""How report, comment and model card are rendered from their Jinja templates."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def environment(folder: Path, autoescape: bool, **filters: Callable[..., Any]) -> Environment:
    """An environment for the templates of a folder, which may use `filters` by name.

    A name that the template uses and render() doesn't get raises jinja2.UndefinedError. A line that holds only a block
    leaves no empty line behind. autoescape: True for HTML; text in Markdown needs filters of its own.
    """
    templates = Environment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        autoescape=autoescape,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters |= filters
    return templates
