"""Nested settings and metrics become one flat dict, and nothing in them is lost."""

from lockstep.core.nested import flatten


def test_keys_are_joined_by_dots_in_their_order() -> None:
    flat = flatten({"b": {"d": 1, "c": {"e": 2}}, "a": 3, 5: {"f": None}})
    assert list(flat.items()) == [("b.d", 1), ("b.c.e", 2), ("a", 3), ("5.f", None)]


def test_lists_and_empty_dicts_are_values() -> None:
    assert flatten({"a": {"b": [{"c": 1}], "d": {}}, "e": {}}) == {"a.b": [{"c": 1}], "a.d": {}, "e": {}}


def test_a_prefix_stands_before_every_key() -> None:
    assert flatten({"a": 1, "b": {"c": 2}}, prefix="params.yaml: ") == {"params.yaml: a": 1, "params.yaml: b.c": 2}
