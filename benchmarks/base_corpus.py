"""Turn a folder of source texts into the cleaned corpus on which the embedded base model is pretrained.

    python -m benchmarks.base_corpus SOURCES OUT [--against QUESTIONS.csv]

A source is one file `NAME.txt`: documents separated by a form feed, paragraphs by an empty line. Only the sources
listed in SOURCES are read, whatever else the folder holds. Stories are kept whole but for their front matter;
documentation is kept only where a paragraph reads as prose, because a good paragraph lost costs less than a table,
a signature or half a sentence learned.
"""

import argparse
import csv
import hashlib
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from stages.core.errors import LockstepError, run_command
from stages.core.files import whole_file, write_json

MB = 1_000_000
GRAM = 8                   # words in a row that count as copied
REPEATED_SHARE = 0.5       # of its 8-grams seen before: the paragraph or document is a repeat
STORY_PROSE_SHARE = 0.6    # of a story document's bytes kept: below, it is a catalogue, a play or notes
SHORTEST_DOCUMENT = 200    # characters
LONGEST = {"story": 6000, "documentation": 2500}  # characters of a paragraph
SHORTEST_SENTENCE = 8      # words of a documentation paragraph
FUNCTION_SHARE = 0.25      # of the words of English prose; lists, headings and other languages have fewer
CODE_SHARE = 0.05          # of the words of a paragraph that may look like code


class Source(NamedTuple):
    """name: file stem; kind: 'story' or 'documentation'; cap: most megabytes to keep, None for all."""

    name: str
    licence: str
    kind: str = "documentation"
    cap: float | None = None


@dataclass
class Tally:
    """What became of one source."""

    bytes_in: int = 0
    bytes_out: int = 0
    documents_in: int = 0
    documents_out: int = 0
    paragraphs_out: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
