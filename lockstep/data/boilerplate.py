"""Boilerplate of plain texts: a paragraph that many texts repeat, such as a licence, is trained on but not scored.

If all passages that share a paragraph had to stay in one split, whole collections would be chained together. Instead
the held-out texts lose the paragraph.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lockstep.artifacts.records import LineBatch, Text, iterate_records, line_batches, write_records
from lockstep.core.errors import LockstepError
from lockstep.core.parallel import ordered_map
from lockstep.data.leakage import PARAGRAPH_BREAK, paragraph_keys
from lockstep.data.sketches import sorted_unique


@dataclass(frozen=True, slots=True)
class Deduplication:
    """What the files hold after drop_repeated_paragraphs.

    text_counts: texts of each split. dropped_paragraphs: of all splits. leakage: what `leakage` counts in the files.
    """

    text_counts: dict[str, int]
    dropped_paragraphs: int
    leakage: dict[str, int]


def drop_repeated_paragraphs(paths: dict[str, Path]) -> Deduplication:
    """Drop from each file of texts the paragraphs that a file before it holds, compared as `leakage` compares them.

    paths: the file of each split, train first. A text without paragraphs left is dropped whole.
    Raises LockstepError where nothing is left of a split, and where a file is missing or damaged.
    """
    earlier = np.zeros(0, np.uint64)  # (distinct paragraphs so far,)
    text_counts, dropped, leaks = {}, 0, 0
    for split, path in paths.items():
        keys, lengths = _paragraph_keys(path)  # (paragraphs,), (texts,)
        is_new = ~np.isin(keys, earlier)  # (paragraphs,)
        if not is_new.all():
            dropped += int((~is_new).sum())
            if not write_records(path, _keep_paragraphs(path, np.split(is_new, np.cumsum(lengths)[:-1]))):
                raise LockstepError(
                    f"The paragraphs of the {split} split are all in training too.",
                    f"Add other texts, or set split.{split} to 0.",
                )
            keys, lengths = _paragraph_keys(path)
        text_counts[split] = len(lengths)
        leaks += int(np.isin(keys, earlier).sum())
        earlier = sorted_unique(np.concatenate([earlier, keys[keys != 0]]))
    return Deduplication(text_counts, dropped, {"paragraphs": leaks})


def _paragraph_keys(path: Path) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """(the keys of a file's paragraphs, (paragraphs,); the number of paragraphs of each text, (texts,))."""
    batches = list(ordered_map(_batch_keys, line_batches(path)))
    return np.concatenate([keys for keys, _ in batches]), np.concatenate([lengths for _, lengths in batches])


def _batch_keys(batch: LineBatch) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """As _paragraph_keys, of a batch of lines."""
    texts = [record.text for record in batch.records() if isinstance(record, Text)]
    return paragraph_keys(texts), np.array([text.count(PARAGRAPH_BREAK) + 1 for text in texts], np.int64)  # (texts,)


def _keep_paragraphs(path: Path, is_kept: list[NDArray[np.bool_]]) -> Iterator[Text]:
    """The texts of a file with some of their paragraphs. is_kept: of each text, (its paragraphs,)."""
    for record, kept in zip(iterate_records(path), is_kept, strict=True):
        if isinstance(record, Text) and kept.any():
            paragraphs = zip(record.text.split(PARAGRAPH_BREAK), kept, strict=True)
            yield replace(record, text=PARAGRAPH_BREAK.join(paragraph for paragraph, stays in paragraphs if stays))
