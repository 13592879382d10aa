"""For texts: what many of them say alike, a licence in each file say, is trained on and not scored.

To keep all passages that hold such a paragraph in one split would chain whole collections together. Instead the
held-out ones lose the paragraph.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages.core.errors import LockstepError
from stages.core.fingerprints import ascending
from stages.core.leakage import PARAGRAPHS, paragraph_keys
from stages.core.parallel import ordered_map
from stages.core.records import Lines, Text, iterate_records, record_lines, write_records


def leave_out_known(paths: dict[str, Path]) -> tuple[dict[str, int], int]:
    """Write files of texts anew, each without the paragraphs that one before it holds, as `leakage` counts them.

    paths: file of each split, train first. Returns the number of texts in each, and of paragraphs left out in all.
    Raises LockstepError where nothing is left of a split.
    """
    known = np.zeros(0, np.uint64)
    texts, left_out = {}, 0
    for split, path in paths.items():
        pieces = list(ordered_map(_keys, record_lines(path)))
        keys, counts = (np.concatenate(column) for column in zip(*pieces, strict=True))
        fresh = ~np.isin(keys, known)
        texts[split] = write_records(path, _rest(path, np.split(fresh, np.cumsum(counts)[:-1])))
        if len(counts) and not texts[split]:
            raise LockstepError(
                f"The paragraphs of the {split} split are all in training too.",
                f"Add other texts, or set split.{split} to 0.",
            )
        left_out += int((~fresh).sum())
        known = ascending(np.concatenate([known, keys[keys != 0]]))
    return texts, left_out


def _keys(lines: Lines) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """The keys of all paragraphs, and how many each text has."""
    texts = [record.text for record in lines.records() if isinstance(record, Text)]
    return paragraph_keys(texts), np.array([text.count(PARAGRAPHS) + 1 for text in texts], np.int64)


def _rest(path: Path, fresh: list[NDArray[np.bool_]]) -> Iterator[Text]:
    """What is left of the texts of a file. fresh: of each text, which paragraphs stay."""
    for record, stay in zip(iterate_records(path), fresh, strict=False):
        if isinstance(record, Text) and stay.any():
            parts = record.text.split(PARAGRAPHS)
            yield replace(record, text=PARAGRAPHS.join(part for part, stays in zip(parts, stay, strict=True) if stays))
