"""The model card as plain data, so that the page can show it without turning any of its text into HTML."""

from pathlib import Path
from typing import Any

CARD_CHARACTERS = 40_000  # a longer card is cut: it is somebody else's file where the model came from the Hub


def read_card(folder: Path) -> list[dict[str, Any]]:
    """Sections of the folder's README.md, in order: {"heading", "blocks"}; none where there is no card.

    A block is {"text"}, {"code"} or {"table": rows of cells, the first of them the head}.
    """
    try:
        text = (folder / "README.md").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return card_sections(text[:CARD_CHARACTERS])


def card_sections(markdown: str) -> list[dict[str, Any]]:
    """As read_card, from the card's text."""
    lines = markdown.replace("\r\n", "\n").split("\n")
    if lines[0] == "---" and "---" in lines[1:]:
        lines = lines[lines.index("---", 1) + 1 :]
    sections: list[dict[str, Any]] = [{"heading": "", "blocks": []}]
    code: list[str] | None = None
    gathered: list[str] = []

    def close() -> None:
        if gathered:
            sections[-1]["blocks"].append(_block(gathered))
            gathered.clear()

    for line in lines:
        if line.startswith("```"):
            close()
            if code is not None:
                sections[-1]["blocks"].append({"code": "\n".join(code)})
            code = [] if code is None else None
        elif code is not None:
            code.append(line)
        elif line.startswith("#"):
            close()
            sections.append({"heading": line.lstrip("#").strip(), "blocks": []})
        elif not line.strip():
            close()
        else:
            if gathered and line.startswith("|") != gathered[-1].startswith("|"):
                close()
            gathered.append(line)
    close()
    return [section for section in sections if section["heading"] or section["blocks"]]


def _block(lines: list[str]) -> dict[str, Any]:
    if not lines[0].startswith("|"):
        return {"text": " ".join(line.strip() for line in lines)}
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines]
    return {"table": [row for row in rows if not all(set(cell) <= set(":-") and cell for cell in row)]}
