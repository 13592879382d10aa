"""For any data: no row disappears, no cluster is divided, and new rows move no old one."""

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from preparing import Project, faq
from strategies import CELLS

FEW = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
WORDS = st.lists(st.sampled_from(["what", "is", "the", "mean", "median", "of", "mode", "?", "Why", "so"]), max_size=6)
RELATED = st.lists(st.tuples(CELLS | WORDS.map(" ".join), CELLS | WORDS.map(" ".join)), max_size=30)


@FEW
@given(RELATED, st.sampled_from(["hash", "random"]), st.sampled_from([0.5, 0.8, 1]), st.booleans())
def test_every_row_is_kept_merged_or_rejected_and_no_cluster_is_divided(
    prepared: Project, rows: list[tuple[str, str]], method: str, near: float, html: bool
) -> None:
    rows = faq(6) + rows
    lines = [json.dumps({"question": question, "answer": answer}) for question, answer in rows]
    prepared.put("data.jsonl", "\n".join(lines))
    prepared.set("data", html=html)
    prepared.set("split", method=method, near_duplicate_threshold=near)
    metrics = prepared.run()
    kept, left_out = prepared.everything(), prepared.rows("rejects")
    assert sorted(row["line"] for row in kept + left_out) == list(range(1, len(rows) + 1))
    merged = sum(row["reason"] == "duplicate" for row in left_out)
    counted = metrics["rows_kept"], metrics["duplicates_merged"], metrics["rejected"]
    assert counted == (len(kept), merged, len(left_out) - merged)
    assert metrics["rows_read"] == len(rows)
    assert sum(metrics["rejected_for"].values()) == metrics["rejected"]
    homes = {(row["cluster"], split) for split in ("train", "validation", "test") for row in prepared.rows(split)}
    assert len(homes) == len({cluster for cluster, _ in homes}) == metrics["clusters"]
    assert metrics["leakage"] == {"questions": 0, "answers": 0, "near_duplicates": 0}


@FEW
@given(st.integers(60, 120), st.integers(1, 60), st.randoms(use_true_random=False))
def test_unrelated_rows_put_anywhere_move_no_row_of_a_hash_split(
    prepared: Project, count: int, more: int, random: Any
) -> None:
    def splits(rows: list[tuple[str, str]]) -> dict[str, str]:
        prepared.put("data.jsonl", "\n".join(json.dumps({"question": q, "answer": a}) for q, a in rows))
        metrics = prepared.run()
        assert 0.6 < metrics["rows"]["train"] / len(rows) < 0.95  # 0.8 is asked for
        return {row["id"]: split for split in ("train", "validation", "test") for row in prepared.rows(split)}

    before = splits(faq(count))
    rows = faq(count + more)
    random.shuffle(rows)
    assert before.items() <= splits(rows).items()
