"""The card in a base's folder: what it is, where it is from, and how it came to be a folder."""

from lockstep.bases.catalogue import Entry

SOURCES = {
    "wheel": "the package `{origin}` {version} of the package index, file `{member}`",
    "hub": "`{origin}` of the Hugging Face Hub, commit {revision}",
    "gguf": "the file `{origin}`",
    "folder": "the folder `{origin}`",
}
CONVERSION = """
The file holds quantized weights. They were turned into numbers by Transformers and are stored in bf16; nothing was
trained or changed beyond that rounding. The tokenizer is the file's own, with its way of splitting texts put back.
"""


def base_card(name: str, entry: Entry) -> str:
    """The card in Markdown."""
    where = SOURCES[entry.source].format(**entry.model_dump())
    lines = [f"# {name}", "", entry.about, "", "| | |", "|---|---|", f"| from | {where} |"]
    if isinstance(entry.sha256, str):
        lines.append(f"| SHA-256 | {entry.sha256} |")
    lines += [f"| licence | {entry.licence} |", f"| form of conversation | {entry.template} |"]
    return "\n".join(lines) + "\n" + (CONVERSION if entry.is_converted else "")
