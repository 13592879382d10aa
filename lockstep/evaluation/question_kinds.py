"""The three kinds of questions that are asked.

known: a training row in its own words. reworded: another wording of a training question, which prepare held back, so
that its answer is trained and its words are not. new: the test split, of which neither is trained.
Of plain texts all that is asked is new.
"""

from collections.abc import Sequence
from typing import Any

from lockstep.core.paths import REWORDED

KNOWN, NEW = "known", "new"
KINDS = {  # in the order in which they are asked and shown -> what a person who sees them first has to know
    KNOWN: "Training questions in their own words: the model has seen these very rows, so here it only has to recite.",
    REWORDED: "Training questions in words the model has not seen; their answers it has. "
    "This is how people ask about what is in your data.",
    NEW: "Test questions: the model has seen neither their words nor their answers.",
}
HEADINGS = {KNOWN: "Known questions", REWORDED: "Reworded questions", NEW: "New questions"}


def shown_of_each_kind(lines: Sequence[dict[str, Any]], count: int) -> dict[str, list[dict[str, Any]]]:
    """The first `count` lines of metrics/answers.jsonl of each kind that there is; for texts all are new."""
    of_kind = {kind: [line for line in lines if line.get("kind", NEW) == kind] for kind in KINDS}
    return {kind: some[:count] for kind, some in of_kind.items() if some[:count]}
