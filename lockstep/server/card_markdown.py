"""The model card as plain data, from which the page builds its own elements: no text of the card becomes markup."""

from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

MAX_CARD_CHARACTERS = 40_000  # a longer card is cut: that of a model from the Hub is a stranger's


def read_card(folder: Path) -> list[dict[str, Any]]:
    """Sections of the folder's README.md, in order; none where there is no card.

    A section is {"heading", "blocks"}; the heading is empty before the first one. A block is one of
    {"text": a paragraph}, {"code": its lines}, {"table": rows of cells, the first of them the head},
    {"list": the blocks of each item} with {"start": its first number} where the items are numbered, and
    {"quote": its blocks}. All texts are plain: without marks of emphasis, and with HTML tags as they were typed.
    """
    try:
        text = (folder / "README.md").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return card_sections(text[:MAX_CARD_CHARACTERS])


def card_sections(markdown: str) -> list[dict[str, Any]]:
    """The sections, as read_card returns them, of a card's text: CommonMark with tables, after its front matter."""
    lines = markdown.replace("\r\n", "\n").split("\n")
    if lines[0] == "---" and "---" in lines[1:]:
        lines = lines[lines.index("---", 1) + 1 :]
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    sections: list[dict[str, Any]] = [{"heading": "", "blocks": []}]
    for node in SyntaxTreeNode(parser.parse("\n".join(lines))).children:
        if node.type == "heading":
            sections.append({"heading": _plain(node), "blocks": []})
        else:
            sections[-1]["blocks"] += _blocks(node)
    return [section for section in sections if section["heading"] or section["blocks"]]


def _blocks(node: SyntaxTreeNode) -> list[dict[str, Any]]:
    """The block of a node; none for a rule between paragraphs."""
    match node.type:
        case "hr":
            return []
        case "fence" | "code_block":
            return [{"code": node.content.removesuffix("\n")}]
        case "table":
            rows = [row for part in node.children for row in part.children]
            return [{"table": [[_plain(cell) for cell in row.children] for row in rows]}]
        case "bullet_list":
            return [{"list": [_inside(item) for item in node.children]}]
        case "ordered_list":
            return [{"list": [_inside(item) for item in node.children], "start": node.attrs.get("start", 1)}]
        case "blockquote":
            return [{"quote": _inside(node)}]
    return [{"text": _plain(node)}]


def _inside(node: SyntaxTreeNode) -> list[dict[str, Any]]:
    """The blocks of a list item or a quotation."""
    return [block for child in node.children for block in _blocks(child)]


def _plain(node: SyntaxTreeNode) -> str:
    """The text of a node. A link is followed by its address where the text doesn't show it."""
    if node.type in ("softbreak", "hardbreak"):
        return " "
    if not node.children:
        return node.content
    text = "".join(_plain(child) for child in node.children)
    address = node.attrs.get("href") if node.type == "link" else None
    return f"{text} ({address})" if address and address != text else text
