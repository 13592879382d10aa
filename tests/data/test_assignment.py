"""Similar questions that clustering misses: found once the splits are known, and brought into one split."""

import json
import random
from pathlib import Path

import pytest
from preparing import Project, csv_of, faq

from lockstep.data import assignment
from lockstep.data.near_duplicates import cluster_rows
from lockstep.data.splitting import LARGE_CLUSTER

NOTHING_LEAKED = {"questions": 0, "answers": 0, "near_duplicates": 0}
SYLLABLES = "ba ce di fo gu la me ni po ru sa te vi zo ka le mi ra"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    return Project(tmp_path, monkeypatch)


@pytest.fixture
def blind(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project in which clustering misses every pair of similar questions."""
    monkeypatch.setattr(assignment, "cluster_rows", lambda keys, sketches: cluster_rows(keys, []))
    return project


def templated(pairs: int, seed: int) -> list[tuple[str, str]]:
    """Questions of one form, thousands in a bucket; two and two share the first of three names and are similar."""
    draw = random.Random(seed)

    def name() -> str:
        return "".join(draw.choices(SYLLABLES.split(), k=3))

    shared = [name() for _ in range(pairs)] * 2
    names = [(first, name(), name()) for first in shared]
    draw.shuffle(names)
    asked = "Which laboratory method measures the mineral content of samples from"
    return [(f"{asked} {' '.join(some)}?", f"Method {number}.") for number, some in enumerate(names)]


def rephrased(rows: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The same questions in other words, answered otherwise."""
    return [(question.replace("What", "Tell me: what"), f"Say {number}.") for number, (question, _) in enumerate(rows)]


def homes(project: Project) -> dict[str, str]:
    """Question -> split."""
    return {row["question"]: split for split in ("train", "validation", "test") for row in project.rows(split)}


def divided(project: Project, rows: list[tuple[str, str]]) -> list[str]:
    """Questions that lie in another split than their rephrased form."""
    home = homes(project)
    return [one for (one, _), (other, _) in zip(rows, rephrased(rows), strict=True) if home[one] != home[other]]


@pytest.mark.parametrize("method", ["hash", "random"])
def test_questions_of_one_form_leak_into_no_other_split(project: Project, method: str) -> None:
    project.put("data.csv", csv_of(templated(1000, seed=2)))
    project.set("split", method=method)
    metrics = project.run()
    assert metrics["leakage"] == NOTHING_LEAKED
    assert metrics["rows_kept"] == 2000


@pytest.mark.parametrize("method", ["hash", "random"])
def test_pairs_that_clustering_missed_share_a_split(blind: Project, method: str) -> None:
    rows = faq(150)
    blind.put("data.csv", csv_of([*rows, *rephrased(rows)]))
    blind.set("split", method=method)
    metrics = blind.run()
    assert (metrics["leakage"], divided(blind, rows)) == (NOTHING_LEAKED, [])
    assert min(metrics["rows"].values()) > 10


def test_exact_duplicates_only_means_that_similar_rows_may_part(blind: Project) -> None:
    rows = faq(150)
    blind.put("data.csv", csv_of([*rows, *rephrased(rows)]))
    blind.set("split", near_duplicate_threshold=1)
    assert blind.run()["clusters"] == 300
    assert divided(blind, rows) != []


def test_rows_joined_late_are_trained_on_where_they_are_too_many(blind: Project) -> None:
    chain = [
        (f"How do I reset the large blue industrial device of type {i}?", f"Press {i}.")
        for i in range(3 * LARGE_CLUSTER)
    ]
    blind.put("data.csv", csv_of([*faq(100), *chain]))
    metrics = blind.run()
    home = homes(blind)
    assert {home[question] for question, _ in chain} == {"train"}
    assert metrics["leakage"] == NOTHING_LEAKED
    assert metrics["largest_cluster"] > LARGE_CLUSTER


def test_unrelated_rows_with_pairs_of_their_own_move_no_old_row(blind: Project) -> None:
    old, new = faq(150), faq(150, begin=150)
    blind.put("data.csv", csv_of([*old, *rephrased(old)]))
    blind.run()
    before = homes(blind)
    blind.put("data.csv", csv_of([*rephrased(new), *old, *new, *rephrased(old)]))
    blind.run()
    after = homes(blind)
    assert {question: after[question] for question in before} == before
    assert divided(blind, new) == []


def test_rows_left_out_join_no_others(blind: Project) -> None:
    sides = [(f"What about amber{i} birch{i}?", f"What about cedar{i} delta{i}?") for i in range(60)]
    blind.put("data.csv", csv_of([(question, "Yes.") for pair in sides for question in pair]))
    between = [
        {"question": f"{left[:-1]} {right.removeprefix('What about ')}", "answer": "No.", "verdict": "bad"}
        for left, right in sides
    ]
    Path("data/raw/corrections.jsonl").write_text("\n".join(map(json.dumps, between)))
    blind.set("data", corrections=True)
    blind.set("split", near_duplicate_threshold=0.4)  # the row marked bad is that similar to both, which share nothing
    metrics = blind.run()
    assert (metrics["marked_bad"], metrics["rows_kept"], metrics["clusters"]) == (60, 120, 120)
