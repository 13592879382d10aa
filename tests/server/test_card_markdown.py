"""The model card as plain data."""

from pathlib import Path

import pytest

from lockstep.server.card_markdown import MAX_CARD_CHARACTERS, card_sections, read_card


def test_a_card_becomes_plain_data() -> None:
    card = (
        "---\ntags: [x]\n---\n\n# A <b>model</b>\nTwo *fine*\nlines of `code`.\n\n"
        "| | base |\n|---|:-:|\n| loss | 2.5 |\n\nAfter.\n\n```py\n# no heading\n```\n\n***\n"
    )
    assert card_sections(card) == [
        {
            "heading": "A <b>model</b>",
            "blocks": [
                {"text": "Two fine lines of code."},
                {"table": [["", "base"], ["loss", "2.5"]]},
                {"text": "After."},
                {"code": "# no heading"},
            ],
        }
    ]


def test_a_cards_lists_and_quotations_keep_their_shape() -> None:
    card = "- one\n  - inner\n- two\n\n  more\n\n3. third\n\n> said\n"
    assert card_sections(card) == [
        {
            "heading": "",
            "blocks": [
                {"list": [[{"text": "one"}, {"list": [[{"text": "inner"}]]}], [{"text": "two"}, {"text": "more"}]]},
                {"list": [[{"text": "third"}]], "start": 3},
                {"quote": [{"text": "said"}]},
            ],
        }
    ]


@pytest.mark.parametrize(
    ("markdown", "text"),
    [
        ("<div onclick='x'>\nraw\n</div>", "<div onclick='x'> raw </div>"),
        ("a <script>alert(1)</script>", "a <script>alert(1)</script>"),
        ("[the base](https://example.org)", "the base (https://example.org)"),
        ("<https://example.org>", "https://example.org"),
        ("[run](javascript:alert(1))", "[run](javascript:alert(1))"),
        ("![a chart](chart.png)", "a chart"),
    ],
)
def test_html_links_and_pictures_of_a_card_are_plain_text(markdown: str, text: str) -> None:
    assert card_sections(markdown) == [{"heading": "", "blocks": [{"text": text}]}]


def test_a_folder_without_a_card_has_none_and_a_long_card_is_cut(tmp_path: Path) -> None:
    assert read_card(tmp_path) == []
    (tmp_path / "README.md").write_text("x" * (MAX_CARD_CHARACTERS + 5), encoding="utf-8")
    assert read_card(tmp_path) == [{"heading": "", "blocks": [{"text": "x" * MAX_CARD_CHARACTERS}]}]
