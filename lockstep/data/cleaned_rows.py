"""Cleaned rows between reading and writing: their texts in a file, what is compared and counted in memory.

A row is a pair (question, answer) or a passage (text, glue).
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lockstep.core.atomic_files import whole_file
from lockstep.core.errors import LockstepError
from lockstep.core.parallel import ordered_map
from lockstep.data.cleaning import MISSING, clean_text, holds_html
from lockstep.data.readers import RawRow
from lockstep.data.sketches import Fingerprints, content_id, fingerprint, joined

CHUNK = 4096  # rows cleaned at once
LONG_ANSWER = 8  # words from which two rows with the same answer are taken to ask the same
SHOWN_TEXT = 100  # characters of a rejected row's text in rejects.jsonl


class Reject(NamedTuple):
    """A row left out, and why. file: index into Spool.names."""

    file: int
    line: int
    reason: str
    detail: str


@dataclass(slots=True)
class Chunk:
    """Some cleaned rows: arrays of one value a row, their texts as JSON Lines, and the rows left out."""

    files: NDArray[np.uint32]
    lines: NDArray[np.uint32]
    ids: NDArray[np.uint64]
    bad: NDArray[np.bool_]
    chars: NDArray[np.uint32]  # (n, 2): of question and answer, or of the text
    first: Fingerprints
    second: Fingerprints
    texts: str
    rejects: list[Reject]
    html: int  # rows that hold tags


@dataclass(slots=True)
class Spool:
    """All cleaned rows, in file order. The arrays are those of Chunk; texts lie in the file `path`."""

    path: Path
    names: list[str]
    rows: Chunk
    rejects: list[Reject] = field(default_factory=list)
    html: int = 0

    def __len__(self) -> int:
        return len(self.rows.lines)

    def texts(self, wanted: NDArray[np.bool_]) -> Iterator[tuple[int, list[str]]]:
        """(row, [question, answer] or [text, glue]) of the rows wanted; wanted: (n,)."""
        with self.path.open(encoding="utf-8", newline="\n") as file:
            for row, line in enumerate(file):
                if wanted[row]:
                    yield row, json.loads(line)


def spool_rows(rows: Iterable[RawRow], path: Path, names: list[str], kind: str, html: bool) -> Spool:
    """Clean rows as they come and lay them down at `path`. html: take tags out of the texts.

    Raises LockstepError when no row is left.
    """
    chunks: list[Chunk] = []
    rejects: list[Reject] = []
    with whole_file(path) as file:
        for chunk in ordered_map(partial(clean_chunk, kind=kind, html=html), _pieces(rows)):
            file.write(chunk.texts)
            rejects += chunk.rejects
            chunk.texts, chunk.rejects = "", []
            chunks.append(chunk)
    spool = Spool(path, names, _one(chunks), rejects, sum(chunk.html for chunk in chunks))
    if not len(spool):
        where = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        if not rejects:
            raise LockstepError(
                f"{where}: nothing but white space.", "Put text there, or choose other files in data.path."
            )
        reasons = ", ".join(f"{reason}: {times:,}" for reason, times in Counter(r.reason for r in rejects).items())
        raise LockstepError(
            f"{where}: none of {len(rejects):,} rows can be used ({reasons}).",
            "Look whether data.path, data.question and data.answer name the right things.",
        )
    return spool


def _pieces(rows: Iterable[RawRow]) -> Iterator[list[RawRow]]:
    """CHUNK rows at a time; one empty piece where there are none."""
    iterator = iter(rows)
    piece = list(islice(iterator, CHUNK))
    yield piece
    while piece := list(islice(iterator, CHUNK)):
        yield piece


def clean_chunk(rows: list[RawRow], kind: str, html: bool) -> Chunk:
    """Clean some rows, leave out the empty ones, and take fingerprints of the rest."""
    kept: list[tuple[RawRow, str, str]] = []
    rejects: list[Reject] = []
    tagged = 0
    for row in rows:
        first = clean_text(row.first, html)
        second = clean_text(row.second, html) if kind == "qa" else row.second
        tagged += holds_html(first) or holds_html(second)
        reason = _unusable(first, second, kind)
        if reason:
            rejects.append(Reject(row.file, row.line, reason, (first or second).strip()[:SHOWN_TEXT]))
        else:
            kept.append((row, first, second))
    firsts = [first for _, first, _ in kept]
    seconds = [second if kind == "qa" else "" for _, _, second in kept]
    return Chunk(
        np.array([row.file for row, _, _ in kept], np.uint32),
        np.array([row.line for row, _, _ in kept], np.uint32),
        np.array([content_id(f"{a}\0{b}") for a, b in zip(firsts, seconds, strict=True)], np.uint64),
        np.array([row.bad for row, _, _ in kept], bool),
        np.array([(len(a), len(b)) for a, b in zip(firsts, seconds, strict=True)], np.uint32).reshape(-1, 2),
        fingerprint(firsts, single_words=kind == "qa"),
        fingerprint(seconds, single_words=False, least_words=LONG_ANSWER),
        "".join(json.dumps([first, second], ensure_ascii=False) + "\n" for _, first, second in kept),
        rejects,
        tagged,
    )


def _unusable(first: str, second: str, kind: str) -> str:
    """Why a row can't be used, or an empty text."""
    names = (("question", first), ("answer", second)) if kind == "qa" else (("text", first),)
    for name, text in names:
        if not text:
            return f"empty {name}"
        if text in MISSING:
            return f"missing {name}"
    return ""


def _one(chunks: list[Chunk]) -> Chunk:
    """The arrays of all chunks, end to end."""
    return Chunk(
        np.concatenate([chunk.files for chunk in chunks]),
        np.concatenate([chunk.lines for chunk in chunks]),
        np.concatenate([chunk.ids for chunk in chunks]),
        np.concatenate([chunk.bad for chunk in chunks]),
        np.concatenate([chunk.chars for chunk in chunks]),
        joined([chunk.first for chunk in chunks]),
        joined([chunk.second for chunk in chunks]),
        "",
        [],
        0,
    )
