"""What pydantic finds wrong with params.yaml, in a user's words."""

import difflib
import reprlib
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from lockstep.core.errors import shortened
from lockstep.core.renamed import SETTINGS, new_name


def describe_problems(error: ValidationError, whole: type[BaseModel]) -> str:
    """Every problem as 'section.key = value: what is allowed', separated by semicolons; whole: the model checked."""
    problems: dict[str, list[str]] = {}
    for problem in error.errors():
        key, reason = _describe(problem, whole)
        problems.setdefault(key, []).append(reason)
    return "; ".join(key + _either(reasons) for key, reasons in problems.items())


def _either(reasons: list[str]) -> str:
    """What the members of a union allow, each once."""
    first, *others = dict.fromkeys(reasons)
    return " or ".join([first, *(other.removeprefix("allowed is ") for other in others)])


def _describe(problem: Any, whole: Any) -> tuple[str, str]:
    """One pydantic problem in a user's words: 'section.key = value: ' and what is allowed."""
    location = _keys(problem["loc"], whole)
    key = ".".join(location)
    kind, found = problem["type"], problem["input"]
    if kind == "extra_forbidden":
        return key, f": no such setting{_did_you_mean(location, whole)}"
    if kind == "missing":
        return key, " is missing"
    if kind == "invalid_key":
        return key, ": a number or none is no name of a setting"
    if found is None:
        return f"{key} is empty: ", _reason(problem)
    if kind == "value_error" and isinstance(found, dict):  # settings of a section that do not go together
        return f"{key}: ", _reason(problem)
    return f"{key} = {_shown(found)}: ", _reason(problem)


def _reason(problem: Any) -> str:
    """What is allowed."""
    if problem["type"] in ("model_type", "dict_type"):
        return "allowed are settings below it, indented"
    reason = problem["msg"].removeprefix("Value error, ")
    for theirs, ours in WORDING.items():
        reason = reason.replace(theirs, ours)
    return f"{reason[0].lower()}{reason[1:]}"


def _shown(value: Any) -> str:
    """A value as it is written in YAML, cut where it is long."""
    if isinstance(value, bool):
        return str(value).lower()
    return shortened(repr(value)) if isinstance(value, str | int | float) else _SHORT.repr(value)


_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxlist, _SHORT.maxdict, _SHORT.maxstring = 2, 3, 3, 20

WORDING = {
    "Input should be greater than or equal to ": "allowed is at least ",
    "Input should be less than or equal to ": "allowed is at most ",
    "Input should be greater than ": "allowed is more than ",
    "Input should be less than ": "allowed is less than ",
    "String should have at least 1 character": "allowed is a text that is not empty",
    "List should have at least 1 item after validation, not 0": "allowed is a list that is not empty",
    "Input should be a valid list": "a list",
    "Input should be": "allowed is",
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "a valid boolean": "true or false",
    "a valid string": "a text",
    ", unable to parse string as a number": "",
    ", unable to parse string as an integer": "",
    ", got a number with a fractional part": "",
    ", unable to interpret input": "",
}


def _keys(location: tuple[int | str, ...], whole: Any) -> list[str]:
    """The part of a pydantic location that is keys of params.yaml (the rest names members of a union)."""
    keys: list[str] = []
    section: Any = whole
    for part in location:
        keys.append(str(part))
        section = _below(section, str(part))
        if section is None:
            break
    return keys


def _below(section: Any, part: str) -> Any:
    """What holds the keys under a key: a section, a dict of them, or None where a value stands."""
    if get_origin(section) is dict:
        return get_args(section)[1]
    field = getattr(section, "model_fields", {}).get(part)
    kind = None if field is None else field.annotation
    holds_keys = get_origin(kind) is dict or (isinstance(kind, type) and issubclass(kind, BaseModel))
    return kind if holds_keys else None


def _did_you_mean(location: list[str], whole: Any) -> str:
    """', did you mean ...?' where the unknown key is an old name, or close to a known one."""
    if renamed := new_name(".".join(location), SETTINGS):
        return f", did you mean {renamed}?"
    section: Any = whole
    for part in location[:-1]:
        section = _below(section, part)
    close = difflib.get_close_matches(location[-1], section.model_fields, n=1)
    return f", did you mean {'.'.join([*location[:-1], close[0]])}?" if close else ""
