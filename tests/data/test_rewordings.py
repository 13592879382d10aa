"""Which wordings of a train question are held back, against a plain loop over the rows."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lockstep.data import rewordings
from lockstep.data.rewordings import wordings_to_hold_back

# (cluster, question, answer, may go). Equal questions share a cluster, as they do after prepare.
ROWS = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 3), st.integers(1, 3), st.booleans()),
    max_size=80,
    unique_by=lambda r: r[:3],
).map(lambda rows: [(cluster, 10 * cluster + question + 1, answer, go) for cluster, question, answer, go in rows])
Row = tuple[int, int, int, bool]


def held_back(rows: list[Row], ids: list[int]) -> list[int]:
    columns = [np.array([row[column] for row in rows], np.uint64) for column in (1, 2)]
    cluster = np.array([row[0] for row in rows], np.int64)
    may_go = np.array([row[3] for row in rows], bool)
    return wordings_to_hold_back(cluster, *columns, np.array(ids, np.uint64), may_go).tolist()


def by_plain_loop(rows: list[Row], ids: list[int], most: int) -> list[int]:
    times_asked = Counter(question for _, question, _, _ in rows)
    drawn = []
    for place in {(cluster, answer) for cluster, _, answer, _ in rows}:
        group = [i for i, row in enumerate(rows) if (row[0], row[2]) == place]
        allowed = [i for i in group if rows[i][3] and times_asked[rows[i][1]] == 1]
        if len(group) > 1 and allowed:
            drawn.append(max(allowed, key=lambda i: ids[i]))
    return sorted(sorted(drawn, key=lambda i: ids[i])[: min(most, len(rows) // 10)])


@given(ROWS, st.randoms(use_true_random=False))
def test_one_wording_of_each_answer_is_held_back_as_a_plain_loop_would(rows: list[Row], random: object) -> None:
    ids = [2**63 + 977 * i for i in range(len(rows))]
    random.shuffle(ids)  # type: ignore[attr-defined]
    assert held_back(rows, ids) == by_plain_loop(rows, ids, rewordings.MAX_HELD_BACK)


def test_of_many_the_lowest_ids_are_held_back_and_never_more_than_the_limit() -> None:
    rows = [(pair, 2 * pair + half, 7, True) for pair in range(3000) for half in (0, 1)]
    ids = [2 * pair + half for pair in range(3000) for half in (0, 1)]
    assert held_back(rows, ids) == [2 * pair + 1 for pair in range(200)]
    assert held_back(rows[:400], ids[:400]) == [2 * pair + 1 for pair in range(40)]


def test_other_clusters_do_not_change_which_wording_is_chosen() -> None:
    rows = [(0, 1, 1, True), (0, 2, 1, True), (0, 3, 1, True)]
    singles = [(cluster, 10 * cluster, 5, True) for cluster in range(1, 60)]
    ids = [5, 9, 7]
    assert held_back([*rows, *singles], [*ids, *range(100, 159)]) == [1]
    assert held_back([*singles[:20], *rows], [*range(20, 40), *ids]) == [21]


def test_a_question_with_a_second_answer_is_trained_for_its_words_would_be_known() -> None:
    others = [(cluster, 10 * cluster, 5, True) for cluster in range(1, 30)]
    rows = [(0, 1, 1, True), (0, 2, 1, True), (0, 2, 2, True), *others]
    assert held_back(rows, [1, 9, 8, *range(100, 129)]) == [0]
