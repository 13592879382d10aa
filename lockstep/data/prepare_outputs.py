"""What prepare writes: records, rejects and figures, made of cleaned rows and what was decided about them."""

from collections import Counter
from collections.abc import Iterator
from heapq import merge
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lockstep.artifacts.records import Question, Record, Text
from lockstep.core.paths import SPLITS
from lockstep.data.assignment import MARKED_BAD, MERGED, Assignment
from lockstep.data.cleaned_rows import Reject, Spool
from lockstep.data.passages import NEW_DOCUMENT
from lockstep.data.readers import Noted

JOINED_CHARS = 1_000_000  # characters; passages are joined again up to about this length
PERCENTILES = (50, 90, 99)
REPETITION = 0.2  # share of different rows below which the data is said to repeat itself
TAGGED = 0.05  # share of rows with HTML tags from which they are no mere examples
CROWDED = 0.1  # share of the rows in one cluster that is worth a line,
MANY = 100  # in data of more than so many rows
LEFT_ASIDE = {
    "further_values": "{:,} further values of cells that hold lists are left aside: the first one counts",
    "known_paragraphs": "{:,} paragraphs of held-out texts are left out of them: training has the same",
    "further_turns": "{:,} further turns of conversations are left aside: the first question and answer count",
}


def split_records(spool: Spool, rows: Assignment, kind: str, split: str) -> Iterator[Record]:
    """The records of one split, in file order."""
    mine = rows.label == SPLITS.index(split)
    return _questions(spool, rows, mine) if kind == "qa" else _texts(spool, rows, mine)


def rejected(spool: Spool, rows: Assignment) -> Iterator[dict[str, Any]]:
    """Rows that were left out or merged: file, line, reason and a detail, in file order."""
    files, lines, names = spool.rows.files, spool.rows.lines, spool.names

    def left_out() -> Iterator[Reject]:
        for row in np.flatnonzero(~rows.kept):
            reason, detail = "marked bad in chat", ""
            if rows.label[row] == MERGED:
                first = rows.original[row]
                reason, detail = "duplicate", f"same as {names[files[first]]} line {lines[first]}"
            yield Reject(int(files[row]), int(lines[row]), reason, detail)

    for file, line, reason, detail in merge(spool.rejects, left_out()):
        yield {"file": names[file], "line": line, "reason": reason, "detail": detail}


def prepare_metrics(
    spool: Spool, rows: Assignment, kind: str, noted: Noted, written: dict[str, int], leaks: dict[str, int]
) -> dict[str, Any]:
    """The figures of metrics/prepare.json.

    written: records of each split. leaks: see leakage.
    near_duplicates: questions (or passages) that share a cluster with another one. conflicts: questions with more than
    one answer.
    """
    kept = rows.kept
    first = spool.rows.first.keys[kept]
    distinct, times = np.unique(first, return_counts=True)
    sizes = np.unique(rows.cluster[kept], return_counts=True)[1]
    reasons = Counter(reject.reason for reject in spool.rejects)
    parts = ("question", "answer") if kind == "qa" else ("text",)
    return {
        "kind": kind,
        "files": len(spool.names),
        "encodings": dict(sorted(noted.encodings.items())),
        "rows_read": len(spool) + len(spool.rejects),
        "rows_kept": int(kept.sum()),
        "rejected": len(spool.rejects),
        "rejected_for": dict(sorted(reasons.items())),
        "duplicates_merged": int((rows.label == MERGED).sum()),
        "marked_bad": int((rows.label == MARKED_BAD).sum()),
        "left_aside": dict(sorted((+noted.left_aside).items())),
        "html_rows": spool.html,
        "clusters": len(sizes),
        "largest_cluster": int(sizes.max()),
        "near_duplicates": len(distinct) - len(sizes) if kind == "qa" else len(first) - len(sizes),
        "conflicts": int((times > 1).sum()),
        "rows": written,
        "leakage": leaks,
        "characters": {part: _lengths(spool.rows.chars[kept, column]) for column, part in enumerate(parts)},
    }


def summary(metrics: dict[str, Any]) -> list[str]:
    """What a person should know, a line each; the last one is the stage's one line."""
    usable = metrics["rows_kept"] + metrics["duplicates_merged"]
    lines = []
    if metrics["rows_kept"] < usable * REPETITION:
        lines.append(
            f"the data repeats itself: {usable:,} rows hold {metrics['rows_kept']:,} different ones, each is kept once"
        )
    if metrics["largest_cluster"] > usable * CROWDED and metrics["rows_kept"] > MANY:
        lines.append(
            f"{metrics['largest_cluster']:,} rows resemble each other in a chain and stay in one split; "
            "a higher split.near_duplicate_threshold parts them"
        )
    if metrics["html_rows"] > usable * TAGGED:
        lines.append(f"{metrics['html_rows']:,} rows hold HTML tags; data.html: true takes them out")
    for key, text in LEFT_ASIDE.items():
        if key in metrics["left_aside"]:
            lines.append(text.format(metrics["left_aside"][key]))
    pairs = metrics["kind"] == "qa"
    what, joined = ("rows", "") if pairs else ("passages", "joined again to ")
    dropped = f", {metrics['rejected']:,} rejected" if metrics["rejected"] else ""
    dropped += f", {metrics['marked_bad']:,} marked bad" if metrics["marked_bad"] else ""
    repeats = metrics["duplicates_merged"]
    merged = f", {repeats:,} duplicate{'s' if repeats > 1 else ''} merged" if repeats else ""
    sizes = ", ".join(f"{split} {count:,}" for split, count in metrics["rows"].items())
    lines.append(
        f"{metrics['rows_read']:,} {what} read, {metrics['rows_kept']:,} kept{dropped}{merged}; {joined}{sizes}"
    )
    return lines


def _questions(spool: Spool, rows: Assignment, mine: NDArray[np.bool_]) -> Iterator[Record]:
    ids, names = spool.rows.ids, spool.names
    for row, (question, answer) in spool.texts(mine):
        place = names[spool.rows.files[row]], int(spool.rows.lines[row])
        yield Question(_hex(ids[row]), _hex(ids[rows.cluster[row]]), question, answer, *place)


def _texts(spool: Spool, rows: Assignment, mine: NDArray[np.bool_]) -> Iterator[Record]:
    """Passages; neighbours in one document become one text again."""
    head, last, parts, size = -1, -2, [""], 0

    def text() -> Text:
        ids, place = spool.rows.ids, (spool.names[spool.rows.files[head]], int(spool.rows.lines[head]))
        return Text(_hex(ids[head]), _hex(ids[rows.cluster[head]]), "".join(parts), *place)

    for row, (passage, glue) in spool.texts(mine):
        if row == last + 1 and glue != NEW_DOCUMENT and size < JOINED_CHARS:
            parts += [glue, passage]
        else:
            if head >= 0:
                yield text()
            head, parts, size = row, [passage], 0
        size += len(passage)
        last = row
    if head >= 0:
        yield text()


def _hex(number: np.uint64) -> str:
    return f"{int(number):016x}"


def _lengths(chars: NDArray[np.uint32]) -> dict[str, int]:
    """Percentiles of lengths in characters, each the length of a row there is."""
    values = np.percentile(chars, PERCENTILES, method="nearest")
    return {f"p{share}": int(value) for share, value in zip(PERCENTILES, values, strict=True)} | {
        "max": int(chars.max())
    }
