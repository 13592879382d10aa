"""For texts: what many of them say alike, a licence in each file say, is trained on and not scored.

To keep all passages that hold such a paragraph in one split would chain whole collections together. Instead the
held-out ones lose the paragraph.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lockstep.artifacts.records import Lines, Text, iterate_records, record_lines, write_records
from lockstep.core.errors import LockstepError
from lockstep.core.parallel import ordered_map
from lockstep.data.leakage import PARAGRAPHS, paragraph_keys
from lockstep.data.sketches import ascending


@dataclass(frozen=True, slots=True)
class Texts:
    """texts: in each split. left_out: paragraphs, of all splits. leakage: what `leakage` would count now."""

    texts: dict[str, int]
    left_out: int
    leakage: dict[str, int]


def leave_out_known(paths: dict[str, Path]) -> Texts:
    """Leave out of each file of texts the paragraphs that one before it holds, as `leakage` counts them, and count what
    is there then.

    paths: file of each split, train first. Raises LockstepError where nothing is left of a split.
    """
    known = np.zeros(0, np.uint64)
    texts, left_out, leaks = {}, 0, 0
    for split, path in paths.items():
        keys, counts = _paragraphs_of(path)
        fresh = ~np.isin(keys, known)
        if not fresh.all():
            left_out += int((~fresh).sum())
            if not write_records(path, _rest(path, np.split(fresh, np.cumsum(counts)[:-1]))):
                raise LockstepError(
                    f"The paragraphs of the {split} split are all in training too.",
                    f"Add other texts, or set split.{split} to 0.",
                )
            keys, counts = _paragraphs_of(path)
        texts[split] = len(counts)
        leaks += int(np.isin(keys, known).sum())
        known = ascending(np.concatenate([known, keys[keys != 0]]))
    return Texts(texts, left_out, {"paragraphs": leaks})


def _paragraphs_of(path: Path) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """The keys of a file's paragraphs, and how many each text has."""
    pieces = list(ordered_map(_keys, record_lines(path)))
    return np.concatenate([keys for keys, _ in pieces]), np.concatenate([counts for _, counts in pieces])


def _keys(lines: Lines) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """As _paragraphs_of, of some lines."""
    texts = [record.text for record in lines.records() if isinstance(record, Text)]
    return paragraph_keys(texts), np.array([text.count(PARAGRAPHS) + 1 for text in texts], np.int64)


def _rest(path: Path, fresh: list[NDArray[np.bool_]]) -> Iterator[Text]:
    """What is left of the texts of a file. fresh: of each text, which paragraphs stay."""
    for record, stay in zip(iterate_records(path), fresh, strict=True):
        if isinstance(record, Text) and stay.any():
            parts = record.text.split(PARAGRAPHS)
            yield replace(record, text=PARAGRAPHS.join(part for part, stays in zip(parts, stay, strict=True) if stays))
