"""The outputs of prepare: records, rejects, metrics and the lines it prints."""

from collections import Counter
from collections.abc import Iterator
from heapq import merge
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lockstep.artifacts.records import Question, Text, write_records
from lockstep.core.paths import REWORDED, SPLITS
from lockstep.data.cleaned_rows import CleanedRows, Reject
from lockstep.data.passages import NEW_DOCUMENT
from lockstep.data.readers import ReadCounts
from lockstep.data.splitting import DUPLICATE, HELD_BACK, MARKED_BAD, Assignment

MAX_TEXT_CHARS = 1_000_000  # characters of a text from which no further passages are joined to it
PERCENTILES = (50, 90, 99)
REPETITIVE = 0.2  # share of distinct rows below which repetition is worth a line
MANY_TAGS = 0.05  # share of rows with HTML tags from which they are worth a line: fewer may be examples
LARGE_CLUSTER_SHARE = 0.1  # share of the rows in one cluster from which it is worth a line,
MIN_ROWS_FOR_SHARE = 100  # if there are more rows than this
LEFT_ASIDE = {
    "further_values": "{:,} further values of cells that hold lists are left aside: the first one counts",
    "known_paragraphs": "{:,} paragraphs of held-out texts are left out of them: training has the same",
    "further_turns": "{:,} further turns of conversations are left aside: the first question and answer count",
}


def write_splits(paths: dict[str, Path], cleaned: CleanedRows, assignment: Assignment, kind: str) -> dict[str, int]:
    """Write the records of each split, in file order, to its file. Returns the number of records of each split.

    paths: the file of each split and, for questions, that of 'reworded'.
    """
    records = _question_records if kind == "qa" else _text_records
    number = {split: index for index, split in enumerate(SPLITS)} | {REWORDED: HELD_BACK}
    in_split = {split: assignment.split == number[split] for split in paths}  # (n,) each
    return {split: write_records(path, records(cleaned, assignment, in_split[split])) for split, path in paths.items()}


def reject_records(cleaned: CleanedRows, assignment: Assignment) -> Iterator[dict[str, Any]]:
    """The rows left out or merged, in file order, as lines of rejects.jsonl: file, line, reason and detail."""
    names, file, line = cleaned.names, cleaned.arrays.file, cleaned.arrays.line

    def left_out() -> Iterator[Reject]:
        for row in np.flatnonzero(~assignment.is_kept):
            reason, detail = "marked bad in chat", ""
            if assignment.split[row] == DUPLICATE:
                first = assignment.original[row]
                reason, detail = "duplicate", f"same as {names[file[first]]} line {line[first]}"
            yield Reject(int(file[row]), int(line[row]), reason, detail)

    for reject in merge(cleaned.rejects, left_out()):
        yield {"file": names[reject.file], "line": reject.line, "reason": reject.reason, "detail": reject.detail}


def prepare_metrics(
    cleaned: CleanedRows,
    assignment: Assignment,
    kind: str,
    counts: ReadCounts,
    split_sizes: dict[str, int],
    leaks: dict[str, int],
) -> dict[str, Any]:
    """The metrics of prepare.

    split_sizes: number of records of each split and, for questions, of 'reworded'. leaks: as `leakage` gives them.
    near_duplicates: questions (or passages) that share a cluster with another one. conflicts: questions with more than
    one answer.
    """
    is_kept = assignment.is_kept  # (n,)
    keys = cleaned.arrays.first.keys[is_kept]  # (kept,)
    distinct, times = np.unique(keys, return_counts=True)  # (distinct questions,) each
    chars = cleaned.arrays.chars[is_kept]  # (kept, 2)
    sizes = np.unique(assignment.cluster[is_kept], return_counts=True)[1]  # (clusters,)
    reasons = Counter(reject.reason for reject in cleaned.rejects)
    parts = ("question", "answer") if kind == "qa" else ("text",)
    return {
        "kind": kind,
        "files": len(cleaned.names),
        "encodings": dict(sorted(counts.encodings.items())),
        "rows_read": len(cleaned) + len(cleaned.rejects),
        "rows_kept": int(is_kept.sum()),
        "rejected": len(cleaned.rejects),
        "rejected_for": dict(sorted(reasons.items())),
        "duplicates_merged": int((assignment.split == DUPLICATE).sum()),
        "marked_bad": int((assignment.split == MARKED_BAD).sum()),
        "left_aside": dict(sorted((+counts.left_aside).items())),
        "html_rows": cleaned.html_rows,
        "clusters": len(sizes),
        "largest_cluster": int(sizes.max()),
        "near_duplicates": len(distinct) - len(sizes) if kind == "qa" else len(keys) - len(sizes),
        "conflicts": int((times > 1).sum()),
        "rows": split_sizes,
        "leakage": leaks,
        "characters": {part: _length_metrics(chars[:, column]) for column, part in enumerate(parts)},
    }


def summary_lines(metrics: dict[str, Any]) -> list[str]:
    """Lines to print after prepare: warnings first, the summary last."""
    usable = metrics["rows_kept"] + metrics["duplicates_merged"]
    lines = []
    if metrics["rows_kept"] < usable * REPETITIVE:
        lines.append(
            f"the data repeats itself: {usable:,} rows hold {metrics['rows_kept']:,} different ones, each is kept once"
        )
    if metrics["largest_cluster"] > usable * LARGE_CLUSTER_SHARE and metrics["rows_kept"] > MIN_ROWS_FOR_SHARE:
        lines.append(
            f"{metrics['largest_cluster']:,} rows resemble each other in a chain and stay in one split; "
            "a higher split.near_duplicate_threshold parts them"
        )
    if metrics["html_rows"] > usable * MANY_TAGS:
        lines.append(f"{metrics['html_rows']:,} rows hold HTML tags; data.html: true takes them out")
    for key, text in LEFT_ASIDE.items():
        if key in metrics["left_aside"]:
            lines.append(text.format(metrics["left_aside"][key]))
    return [*lines, _summary_line(metrics)]


def _summary_line(metrics: dict[str, Any]) -> str:
    """How many rows were read, kept and left out, and the size of each split."""
    what, joined = ("rows", "") if metrics["kind"] == "qa" else ("passages", "joined again to ")
    left_out = f", {metrics['rejected']:,} rejected" if metrics["rejected"] else ""
    left_out += f", {metrics['marked_bad']:,} marked bad" if metrics["marked_bad"] else ""
    repeats = metrics["duplicates_merged"]
    left_out += f", {repeats:,} duplicate{'s' if repeats > 1 else ''} merged" if repeats else ""
    rows = {split: count for split, count in metrics["rows"].items() if count or split != REWORDED}
    sizes = ", ".join(f"{split} {count:,}" for split, count in rows.items())
    return f"{metrics['rows_read']:,} {what} read, {metrics['rows_kept']:,} kept{left_out}; {joined}{sizes}"


def _question_records(cleaned: CleanedRows, assignment: Assignment, in_split: NDArray[np.bool_]) -> Iterator[Question]:
    """The questions of one split. in_split: (n,)."""
    for row, (question, answer) in cleaned.texts(in_split):
        record_id, cluster, file, line = _origin(cleaned, assignment, row)
        yield Question(record_id, cluster, question, answer, file, line)


def _text_records(cleaned: CleanedRows, assignment: Assignment, in_split: NDArray[np.bool_]) -> Iterator[Text]:
    """The texts of one split. Neighbouring passages of one document become one text again. in_split: (n,)."""
    first, last = -1, -2  # rows of the first and the last passage of the text
    parts: list[str] = []
    size = 0  # characters of the passages joined so far

    def text() -> Text:
        record_id, cluster, file, line = _origin(cleaned, assignment, first)
        return Text(record_id, cluster, "".join(parts), file, line)

    for row, (passage, separator) in cleaned.texts(in_split):
        if row == last + 1 and separator != NEW_DOCUMENT and size < MAX_TEXT_CHARS:
            parts += [separator, passage]
        else:
            if parts:
                yield text()
            first, parts, size = row, [passage], 0
        size += len(passage)
        last = row
    if parts:
        yield text()


def _origin(cleaned: CleanedRows, assignment: Assignment, row: int) -> tuple[str, str, str, int]:
    """id, cluster, file and line of the record that begins with a row."""
    arrays = cleaned.arrays
    record_id, cluster = (f"{int(arrays.id[index]):016x}" for index in (row, assignment.cluster[row]))
    return record_id, cluster, cleaned.names[arrays.file[row]], int(arrays.line[row])


def _length_metrics(chars: NDArray[np.uint32]) -> dict[str, int]:
    """Percentiles of lengths in characters, each the length of an actual row. chars: (rows,)."""
    values = np.percentile(chars, PERCENTILES, method="nearest")  # (percentiles,)
    metrics = {f"p{percent}": int(value) for percent, value in zip(PERCENTILES, values, strict=True)}
    return metrics | {"max": int(chars.max())}
