"""Turn a folder of source texts into the cleaned corpus on which the embedded base model is pretrained.

    python -m benchmarks.base_corpus SOURCES OUT [--against QUESTIONS.csv]

A source is one file `NAME.txt`: documents separated by a form feed, paragraphs by an empty line. Only the sources
listed in SOURCES are read, whatever else the folder holds. base_prose.py says what is kept of a story,
base_documentation.py what is kept of a paragraph of documentation.
"""

import argparse
import csv
import hashlib
import io
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from benchmarks.base_documentation import documentation_paragraph
from benchmarks.base_prose import (
    REPEATED_SHARE,
    fault_of_story,
    gram_codes,
    joined_lines,
    repeated_share,
    story_paragraph,
)
from lockstep.core.atomic_files import write_json, write_text
from lockstep.core.errors import LockstepError, run_command

MB = 1_000_000
SHORTEST_DOCUMENT = 200  # characters


class Source(NamedTuple):
    """name: file stem; kind: 'story', 'course' or 'manual'; cap: most megabytes to keep, None for all."""

    name: str
    licence: str
    kind: str
    cap: float | None = None


def sources(kind: str, licence: str, names: str) -> tuple[Source, ...]:
    """Sources of one kind under one licence; names: separated by spaces."""
    return tuple(Source(name, licence, kind) for name in names.split())


# Left out on purpose: python-peps, rust-rfcs and aesop_fables, whose licence is unclear or whose text does not fit.
# Courses come before manuals, so that of two like paragraphs the course's is kept.
SOURCES = (
    Source("fairytaleqa_stories", "Apache-2.0; the stories are in the public domain", "story"),
    Source("gutenberg_children", "public domain in the USA (Project Gutenberg)", "story", 24.0),
    Source("gutenberg_classics", "public domain in the USA (Project Gutenberg)", "story", 6.0),
    *sources("course", "MIT", "bayesian-hackers cs228 cs231n ml-glossary pml-book-faq ds-for-beginners made-with-ml"),
    *sources("course", "MIT", "pytorch-deep-learning prompt-guide"),
    *sources("course", "CC BY 4.0", "tuning_playbook ml-novice-sklearn dc-ecology swc-python"),
    *sources("course", "CC0-1.0", "whirlwind-python"),
    *sources("course", "Apache-2.0", "llms-from-scratch hf-course hf-cookbook hf-deep-rl what-if-tool"),
    *sources("course", "MIT or Apache-2.0", "rust-book"),
    *sources("manual", "Apache-2.0 / CC BY 4.0", "tensorflow-docs"),
    *sources("manual", "BSD-3-Clause", "scikit-learn scikit-learn-2024-docstrings statsmodels pandas numpy scipy"),
    *sources("manual", "BSD-3-Clause", "seaborn networkx scikit-image feature-engine torchtune"),
    *sources("manual", "BSD-3-Clause / CC BY 4.0", "mlxtend"),
    *sources("manual", "MIT", "imbalanced-learn fairlearn interpret lightgbm optuna spacy lm-eval-harness"),
    *sources("manual", "Apache-2.0", "yellowbrick dvc.org xgboost pytorch-lightning ludwig litgpt llama-factory"),
    *sources("manual", "Apache-2.0", "open-instruct hf-datasets hf-diffusers hf-peft hf-trl"),
)


# --- repeats ---


def question_codes(path: Path) -> set[int]:
    """The codes of every row of a CSV file, its question and answer read as one text.

    Raises LockstepError where the file can't be read or has no columns Question and Answer.
    """
    try:
        table = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig")))
        rows = [{(key or "").lower(): value for key, value in row.items()} for row in table]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LockstepError(f"Cannot read {path}: {error}.", "Give a UTF-8 CSV file.") from error
    if not rows or not {"question", "answer"} <= rows[0].keys():
        raise LockstepError(f"{path} has no rows with columns Question and Answer.", "Give such a file to --against.")
    return {code for row in rows for code in gram_codes(f"{row['question']} {row['answer']}")}


def fault_of_copy(text: str, kind: str, copied: set[int], seen: set[int]) -> str:
    """Why a paragraph may not stand beside the questions (copied) and what was kept before it (seen), or ''.

    Adds what it accepts to `seen`. Stories may have refrains: only a whole one can be a repeat.
    """
    codes = gram_codes(text)
    if any(code in copied for code in codes):
        return "overlap"
    if kind != "story" and repeated_share(codes, seen) > REPEATED_SHARE:
        return "repeat"
    seen.update(codes)
    return ""


# --- documents ---


@dataclass
class Tally:
    """What became of one source; dropped: paragraphs by reason (documents, for the reason 'document past the cap')."""

    bytes_in: int = 0
    bytes_out: int = 0
    documents_in: int = 0
    documents_out: int = 0
    paragraphs_out: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


def clean_document(text: str, kind: str, copied: set[int], seen: set[int], dropped: Counter[str]) -> str:
    """A document's kept paragraphs, an empty line between them; '' where too little of it is left."""
    kept = []
    for paragraph in filter(str.strip, re.split(r"\n\s*\n", text)):
        line = joined_lines(paragraph.strip())
        plain, reason = story_paragraph(line) if kind == "story" else documentation_paragraph(line, kind)
        if not reason:
            kept.append(plain)
        dropped[reason] += 1
    if kind == "story" and (reason := fault_of_story(text, kept, seen)):
        dropped[reason] += len(kept)
        return ""
    whole = []
    for plain in kept:
        if reason := fault_of_copy(plain, kind, copied, seen):
            dropped[reason] += 1
        else:
            whole.append(plain)
    if len("\n\n".join(whole)) < SHORTEST_DOCUMENT:
        dropped["document too short"] += len(whole)
        return ""
    return "\n\n".join(whole)


def clean_source(text: str, source: Source, copied: set[int], seen: set[int]) -> tuple[list[str], Tally]:
    """The cleaned documents of a source, in their order, and what became of it.

    Where the source has a cap, whole documents are taken in the order of their SHA-256 for as long as they fit.
    """
    documents = [part.strip() for part in text.split("\f") if part.strip()]
    tally = Tally(bytes_in=len(text.encode()), documents_in=len(documents))
    room = source.cap * MB if source.cap else float("inf")
    order = list(range(len(documents)))
    if source.cap:
        order.sort(key=lambda place: hashlib.sha256(documents[place].encode()).digest())
    kept: dict[int, str] = {}
    for place in order:
        if len(documents[place].encode()) > room:
            tally.dropped["document past the cap"] += 1
        elif document := clean_document(documents[place], source.kind, copied, seen, tally.dropped):
            kept[place] = document
            room -= len(document)
    del tally.dropped[""]
    cleaned = [kept[place] for place in sorted(kept)]
    tally.bytes_out = sum(len(document.encode()) for document in cleaned)
    tally.documents_out = len(cleaned)
    tally.paragraphs_out = sum(document.count("\n\n") + 1 for document in cleaned)
    return cleaned, tally


def read_source(folder: Path, name: str) -> str:
    """The text of one source. Raises LockstepError where it is missing or not UTF-8."""
    path = folder / f"{name}.txt"
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise LockstepError(f"{path} is missing.", "Give the folder with every source of SOURCES.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise LockstepError(f"Cannot read {path}: {error}.", "Sources are UTF-8 text.") from error


def report_of(tallies: dict[Source, Tally]) -> dict[str, object]:
    """What went in and came out, in all and for each source, with its licence."""
    dropped: Counter[str] = Counter()
    for tally in tallies.values():
        dropped.update(tally.dropped)
    return {
        "bytes_in": sum(tally.bytes_in for tally in tallies.values()),
        "bytes_out": sum(tally.bytes_out for tally in tallies.values()),
        "overlap_paragraphs_dropped": dropped["overlap"],
        "dropped": dict(sorted(dropped.items())),
        "sources": {
            source.name: {
                "licence": source.licence,
                "kind": source.kind,
                "cap_mb": source.cap,
                **vars(tally),
                "dropped": dict(sorted(tally.dropped.items())),
            }
            for source, tally in tallies.items()
        },
    }


def main() -> None:
    """Clean every source and write OUT/NAME.txt and OUT/report.json."""
    parser = argparse.ArgumentParser(description="Clean the source texts of the embedded base model.")
    parser.add_argument("sources", type=Path, help="folder with one NAME.txt a source")
    parser.add_argument("out", type=Path, help="folder to write the corpus and report.json to")
    parser.add_argument("--against", type=Path, help="CSV of questions and answers that the corpus must not contain")
    options = parser.parse_args()
    copied = question_codes(options.against) if options.against else set()
    seen: set[int] = set()
    tallies = {}
    for source in SOURCES:
        documents, tally = clean_source(read_source(options.sources, source.name), source, copied, seen)
        write_text(options.out / f"{source.name}.txt", "\n\f\n".join(documents) + "\n")
        print(f"{source.name}: {tally.bytes_in / MB:.2f} MB -> {tally.bytes_out / MB:.2f} MB")
        tallies[source] = tally
    report = report_of(tallies)
    write_json(options.out / "report.json", report)
    print(f"in all {report['bytes_out']:,} bytes; {report['overlap_paragraphs_dropped']} paragraphs overlapped")


if __name__ == "__main__":
    run_command(main)
