"""Cleaned rows between reading and writing: their texts are in a file, what is compared and counted is in memory.

A row is a pair (question, answer), or a passage (text, separator).
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lockstep.core.atomic_files import whole_file
from lockstep.core.errors import LockstepError
from lockstep.core.parallel import ordered_map
from lockstep.data.cleaning import MISSING_VALUES, clean_text, holds_html
from lockstep.data.readers import RawRow
from lockstep.data.sketches import Fingerprints, concatenate, content_id, fingerprint

CHUNK_ROWS = 4096  # rows cleaned at once
LONG_ANSWER = 8  # words from which two rows with the same answer are taken to ask the same question
SHOWN_CHARS = 100  # characters of a rejected row's text in rejects.jsonl


class Reject(NamedTuple):
    """A row that was left out, and why. file: index into CleanedRows.names."""

    file: int
    line: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class RowArrays:
    """Arrays of n cleaned rows, one value per row.

    file: (n,), index into CleanedRows.names. line: (n,). id: (n,), hash of the exact texts. is_bad: (n,), marked bad
    in chat. chars: (n, 2), characters of question and answer, or of text and 0. first: fingerprints of the questions
    or texts. second: fingerprints of the answers.
    """

    file: NDArray[np.uint32]
    line: NDArray[np.uint32]
    id: NDArray[np.uint64]
    is_bad: NDArray[np.bool_]
    chars: NDArray[np.uint32]
    first: Fingerprints
    second: Fingerprints


@dataclass(frozen=True, slots=True)
class CleanedChunk:
    """Some cleaned rows. texts: as JSON Lines. rejects: the rows left out. html_rows: number of rows with tags."""

    arrays: RowArrays
    texts: str
    rejects: list[Reject]
    html_rows: int


@dataclass(frozen=True, slots=True)
class CleanedRows:
    """All cleaned rows, in file order. path: the file of their texts. names: of the files they were read from."""

    path: Path
    names: list[str]
    arrays: RowArrays
    rejects: list[Reject]
    html_rows: int

    def __len__(self) -> int:
        return len(self.arrays.line)

    def texts(self, is_wanted: NDArray[np.bool_]) -> Iterator[tuple[int, list[str]]]:
        """(row, [question, answer] or [text, separator]) of the rows wanted. is_wanted: (n,)."""
        with self.path.open(encoding="utf-8", newline="\n") as file:
            for row, line in enumerate(file):
                if is_wanted[row]:
                    yield row, json.loads(line)


def write_cleaned_rows(rows: Iterable[RawRow], path: Path, names: list[str], kind: str, html: bool) -> CleanedRows:
    """Clean the rows as they come, and write their texts to `path`. html: take tags out of the texts.

    Raises LockstepError when no row is left.
    """
    arrays: list[RowArrays] = []
    rejects: list[Reject] = []
    html_rows = 0
    with whole_file(path) as file:
        for chunk in ordered_map(partial(clean_chunk, kind=kind, html=html), _chunks(rows)):
            file.write(chunk.texts)
            arrays.append(chunk.arrays)
            rejects += chunk.rejects
            html_rows += chunk.html_rows
    cleaned = CleanedRows(path, names, _concatenate_arrays(arrays), rejects, html_rows)
    if not len(cleaned):
        raise _no_rows(names, rejects)
    return cleaned


def _no_rows(names: list[str], rejects: list[Reject]) -> LockstepError:
    """The error for data of which no row can be used."""
    where = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
    if not rejects:
        return LockstepError(
            f"{where}: nothing but white space.", "Put text there, or choose other files in data.path."
        )
    reasons = ", ".join(f"{reason}: {times:,}" for reason, times in Counter(r.reason for r in rejects).items())
    return LockstepError(
        f"{where}: none of {len(rejects):,} rows can be used ({reasons}).",
        "Look whether data.path, data.question and data.answer name the right things.",
    )


def _chunks(rows: Iterable[RawRow]) -> Iterator[list[RawRow]]:
    """CHUNK_ROWS rows at a time; one empty chunk where there are no rows."""
    iterator = iter(rows)
    chunk = list(islice(iterator, CHUNK_ROWS))
    yield chunk
    while chunk := list(islice(iterator, CHUNK_ROWS)):
        yield chunk


def clean_chunk(rows: list[RawRow], kind: str, html: bool) -> CleanedChunk:
    """Clean some rows, reject those without a text, and take fingerprints of the others."""
    kept: list[tuple[RawRow, str, str]] = []
    rejects: list[Reject] = []
    html_rows = 0
    for row in rows:
        first = clean_text(row.first, html)
        second = clean_text(row.second, html) if kind == "qa" else row.second
        html_rows += holds_html(first) or holds_html(second)
        reason = _reject_reason(first, second, kind)
        if reason:
            rejects.append(Reject(row.file, row.line, reason, (first or second).strip()[:SHOWN_CHARS]))
        else:
            kept.append((row, first, second))
    texts = "".join(json.dumps([first, second], ensure_ascii=False) + "\n" for _, first, second in kept)
    return CleanedChunk(_row_arrays(kept, kind), texts, rejects, html_rows)


def _row_arrays(rows: list[tuple[RawRow, str, str]], kind: str) -> RowArrays:
    """The arrays of n rows. rows: (row as read, its two cleaned texts)."""
    firsts = [first for _, first, _ in rows]
    seconds = [second if kind == "qa" else "" for _, _, second in rows]
    texts = list(zip(firsts, seconds, strict=True))
    return RowArrays(
        file=np.array([row.file for row, _, _ in rows], np.uint32),  # (n,)
        line=np.array([row.line for row, _, _ in rows], np.uint32),  # (n,)
        id=np.array([content_id(f"{first}\0{second}") for first, second in texts], np.uint64),  # (n,)
        is_bad=np.array([row.bad for row, _, _ in rows], bool),  # (n,)
        chars=np.array([(len(first), len(second)) for first, second in texts], np.uint32).reshape(-1, 2),  # (n, 2)
        first=fingerprint(firsts, single_words=kind == "qa"),
        second=fingerprint(seconds, single_words=False, min_words=LONG_ANSWER),
    )


def _reject_reason(first: str, second: str, kind: str) -> str:
    """Why a row can't be used, or an empty text."""
    names = (("question", first), ("answer", second)) if kind == "qa" else (("text", first),)
    for name, text in names:
        if not text:
            return f"empty {name}"
        if text in MISSING_VALUES:
            return f"missing {name}"
    return ""


def _concatenate_arrays(parts: list[RowArrays]) -> RowArrays:
    """The arrays of n rows, which come in several parts."""
    return RowArrays(
        file=np.concatenate([part.file for part in parts]),  # (n,)
        line=np.concatenate([part.line for part in parts]),  # (n,)
        id=np.concatenate([part.id for part in parts]),  # (n,)
        is_bad=np.concatenate([part.is_bad for part in parts]),  # (n,)
        chars=np.concatenate([part.chars for part in parts]),  # (n, 2)
        first=concatenate([part.first for part in parts]),
        second=concatenate([part.second for part in parts]),
    )
