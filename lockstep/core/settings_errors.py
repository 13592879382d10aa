"""Turns pydantic's errors about params.yaml into sentences for its user."""

import reprlib
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from lockstep.core.errors import did_you_mean, shortened
from lockstep.core.renamed import DROPPED, SETTINGS, new_name


def describe_problems(error: ValidationError, model: type[BaseModel]) -> str:
    """Every problem as 'section.key = value: what is allowed', separated by semicolons.

    model: the one that refused the values, whose keys are those of params.yaml.
    """
    problems: dict[str, list[str]] = {}
    renamed = {new_name(".".join(map(str, problem["loc"])), SETTINGS) for problem in error.errors()}
    for problem in error.errors():
        key, reason = _describe(problem, model)
        if problem["type"] == "missing" and key in renamed:
            continue  # it is there under its old name, which is told
        problems.setdefault(key, []).append(reason)
    return "; ".join(key + _joined(reasons) for key, reasons in problems.items())


def _joined(reasons: list[str]) -> str:
    """The reasons of one key with 'or' between them, each once: pydantic gives one for every member of a union."""
    first, *others = dict.fromkeys(reasons)
    return " or ".join(
        [first, *(other.removeprefix("allowed is ").replace("a number is needed", "a number") for other in others)]
    )


def _describe(problem: Any, model: Any) -> tuple[str, str]:
    """One pydantic problem as 'section.key = value: ' and what is allowed there."""
    location = _keys(problem["loc"], model)
    key = ".".join(location)
    kind, value = problem["type"], problem["input"]
    if kind == "extra_forbidden":
        if reason := DROPPED.get(key):
            return key, f" is no longer a setting: {reason}, delete the line"
        return key, f": no such setting{_did_you_mean(location, model)}"
    if kind == "missing":
        return key, " is missing"
    if kind == "invalid_key":
        return key, ": a number or none is no name of a setting"
    if value is None:
        return f"{key} is empty: ", _reason(problem)
    if kind == "value_error" and isinstance(value, dict):  # settings of one section contradict each other
        return f"{key}: ", _reason(problem)
    return f"{key} = {_format_value(value)}: ", _reason(problem)


def _reason(problem: Any) -> str:
    """What is allowed, from pydantic's message."""
    if problem["type"] in ("model_type", "dict_type"):
        return "allowed are settings below it, indented"
    reason = problem["msg"].removeprefix("Value error, ")
    for pydantic_words, our_words in WORDING.items():
        reason = reason.replace(pydantic_words, our_words)
    return f"{reason[0].lower()}{reason[1:]}"


def _format_value(value: Any) -> str:
    """A value as YAML writes it, cut where it is long."""
    if isinstance(value, bool):
        return str(value).lower()
    return shortened(repr(value)) if isinstance(value, str | int | float) else _SHORT.repr(value)


_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxlist, _SHORT.maxdict, _SHORT.maxstring = 2, 3, 3, 20

WORDING = {  # part of pydantic's message -> ours
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


def _keys(location: tuple[int | str, ...], model: Any) -> list[str]:
    """The keys of params.yaml at the front of a pydantic location; what follows them names members of a union."""
    keys: list[str] = []
    section: Any = model
    for part in location:
        keys.append(str(part))
        section = _below(section, str(part))
        if section is None:
            break
    return keys


def _below(section: Any, part: str) -> Any:
    """The type that holds the keys under a key: a section or a dict of sections. None where the key has a value."""
    if get_origin(section) is dict:
        return get_args(section)[1]
    field = getattr(section, "model_fields", {}).get(part)
    kind = None if field is None else field.annotation
    holds_keys = get_origin(kind) is dict or (isinstance(kind, type) and issubclass(kind, BaseModel))
    return kind if holds_keys else None


def _did_you_mean(location: list[str], model: Any) -> str:
    """', did you mean ...?' where the unknown key has been renamed or is close to a known one, else an empty text."""
    if renamed := new_name(".".join(location), SETTINGS):
        return f", did you mean {renamed}?"
    section: Any = model
    for part in location[:-1]:
        section = _below(section, part)
    above = "".join(f"{part}." for part in location[:-1])
    return did_you_mean(location[-1], section.model_fields, lead=f", did you mean {above}")
