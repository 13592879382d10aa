"""Reads YAML files of settings; whatever is wrong in one becomes an error with its line."""

from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError

from lockstep.core.errors import LockstepError, shortened


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which also refuses duplicate keys and names the line of an impossible date or number."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise ConstructorError(None, None, f"{key.value} is set twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except ValueError:
            problem = f"{shortened(str(node.value))} is no date or number"
            raise ConstructorError(None, None, problem, node.start_mark) from None


def read_yaml(path: Path) -> Any:
    """The values of a file, with YAML's own types. Raises LockstepError, with the line where it is not valid YAML."""
    text = ""
    try:
        text = path.read_text(encoding="utf-8")
        return yaml.load(text, _Loader)
    except FileNotFoundError:
        raise LockstepError(f"{path} is missing.", "Run from the project's root folder.") from None
    except OSError as error:
        raise LockstepError(f"Cannot read {path}: {error.strerror}.", "Put a readable file there.") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise LockstepError(f"{path} line {line} is not UTF-8 text.", "Save it as UTF-8.") from None
    except RecursionError:
        raise LockstepError(f"{path} is nested too deeply.", "Take brackets out of it.") from None
    except yaml.YAMLError as error:
        line, reason = _line_and_reason(error, text)
        raise LockstepError(f"{path} line {line} is not valid YAML: {reason}.", "Put that line right.") from None


def _line_and_reason(error: yaml.YAMLError, text: str) -> tuple[int, str]:
    """The line of an error, counted from 1, and what is wrong there."""
    if isinstance(error, yaml.reader.ReaderError):
        return text.count("\n", 0, error.position) + 1, "it holds a control character"
    assert isinstance(error, yaml.MarkedYAMLError)
    problem = str(error.problem)
    reason = next((ours for theirs, ours in WORDING.items() if problem.startswith(theirs)), problem)
    mark = error.context_mark if error.context_mark and reason.endswith("never closed") else error.problem_mark
    return mark.line + 1 if mark else 1, reason


WORDING = {  # start of PyYAML's message -> what the user reads
    "found character '\\t'": "a tab stands before its text; indent with blanks",
    "found character": "a text that begins with @, %, ` or the like needs quotes",
    "found undefined alias": "a text that begins with * needs quotes",
    "expected alphabetic or numeric": "a text that begins with * or & needs quotes",
    "found unhashable key": "a text that begins with { or [ needs quotes",
    "mapping values are not allowed": "a colon too many (a text that holds one needs quotes), or wrong indentation",
    "expected ',' or ']'": "a [ is opened and never closed",
    "expected ',' or '}'": "a { is opened and never closed",
    "found unexpected end of stream": "a quote is opened and never closed",
    "expected <block end>": "its indentation does not fit the lines above, or a quote in them is not closed",
    "but found another document": "--- begins a second document",
    "could not determine a constructor": "a text that begins with ! needs quotes",
}
