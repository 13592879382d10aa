"""Wordings held back from training: a question whose answer is trained through other wordings, and its own words not.

Evaluation asks them, and so tells a model that recites rows from one that understands a question put in other words.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lockstep.data.near_duplicates import RowIndices

MAX_HELD_BACK = 200  # wordings
MAX_SHARE = 10  # of this many train rows, one is held back at most


def wordings_to_hold_back(
    cluster: RowIndices,
    question: NDArray[np.uint64],
    answer: NDArray[np.uint64],
    record_id: NDArray[np.uint64],
    may_go: NDArray[np.bool_],
) -> RowIndices:
    """The rows to hold back of n train rows that hold no exact duplicates, as indices in ascending order.

    Where rows of a cluster share an answer, the one with the highest id is held back, if its question has no other
    answer, for that would train its words. Ids are hashes, so this is a draw by lot that no other cluster touches. Of
    all that are drawn the lowest ids are taken: MAX_HELD_BACK, or a MAX_SHARE-th of the train rows where that is fewer.
    (The highest of a group and not its lowest, because evaluation asks the train rows with the lowest ids: it would
    find few left that have another wording.)

    cluster, record_id: (n,). question, answer: (n,), keys. may_go: (n,), False for rows that must be trained.
    """
    rows = pd.DataFrame({"cluster": cluster, "question": question, "answer": answer, "id": record_id})
    wordings = rows.groupby(["cluster", "answer"], sort=False)["id"].transform("size").to_numpy()  # (n,)
    answers = rows.groupby("question", sort=False)["id"].transform("size").to_numpy()  # (n,)
    candidates = rows[(wordings > 1) & (answers == 1) & may_go].sort_values("id")
    drawn = candidates.drop_duplicates(["cluster", "answer"], keep="last")
    count = min(MAX_HELD_BACK, len(rows) // MAX_SHARE)
    return np.sort(drawn.index.to_numpy(np.int64)[:count])  # (held back,)
