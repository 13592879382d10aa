"""The prepare stage on questions and answers: what it writes, and that nothing held out was learnt."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from preparing import ROOT, Project, csv_of, faq

from lockstep.artifacts import records
from lockstep.core import parallel
from lockstep.data import cleaned_rows


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    return Project(tmp_path, monkeypatch)


def test_every_row_is_kept_rejected_or_merged_with_its_line(project: Project) -> None:
    rows = faq(6)
    project.put("data.csv", csv_of([*rows, ("", "nothing asked"), (rows[0][0].upper(), rows[0][1]), ("Why?", "NULL")]))
    metrics = project.run()
    assert [(row["question"], row["answer"], row["line"]) for row in project.everything()] == [
        (question, answer, line) for line, (question, answer) in enumerate(rows, start=2)
    ]
    file = "data/raw/data.csv"
    assert project.rows("rejects") == [
        {"file": file, "line": 8, "reason": "empty question", "detail": "nothing asked"},
        {"file": file, "line": 9, "reason": "duplicate", "detail": f"same as {file} line 2"},
        {"file": file, "line": 10, "reason": "missing answer", "detail": "Why?"},
    ]
    assert (metrics["rows_read"], metrics["rows_kept"], metrics["rejected"], metrics["duplicates_merged"]) == (
        9,
        6,
        2,
        1,
    )
    assert metrics["rejected_for"] == {"empty question": 1, "missing answer": 1}


def test_folder_holds_exactly_these_files(project: Project) -> None:
    project.put("data.csv", csv_of(faq(9)))
    project.run()
    assert sorted(path.name for path in Path("data/prepared").iterdir()) == [
        "leakage.json", "manifest.json", "rejects.jsonl", "reworded.jsonl", "test.jsonl", "train.jsonl",
        "validation.jsonl",
    ]  # fmt: skip
    assert not Path("data/prepared.partial").exists()


def test_five_rows_fill_three_splits(project: Project) -> None:
    project.put("data.csv", csv_of(faq(5)))
    assert project.run()["rows"] == {"train": 3, "reworded": 0, "validation": 1, "test": 1}


def test_no_split_holds_what_another_learnt(project: Project) -> None:
    rows = faq(150)
    again = [
        (question.replace("What colour has", "Tell me: which colour does") + " have", answer)
        for question, answer in rows
    ]
    long = [
        (f"Question {i} about {i * 7919}?", "The very same long answer to all of these questions.") for i in range(20)
    ]
    project.put("data.csv", csv_of([*rows, *again, *long]))
    metrics = project.run()
    assert metrics["leakage"] == {"questions": 0, "answers": 0, "near_duplicates": 0}
    splits = {"train": "train", "reworded": "train", "validation": "validation", "test": "test"}
    records_by_id = {row["id"]: (split, row["cluster"]) for file, split in splits.items() for row in project.rows(file)}
    assert len(records_by_id) == metrics["rows_kept"] == 320
    splits_of: dict[str, set[str]] = {}
    for split, cluster in records_by_id.values():
        splits_of.setdefault(cluster, set()).add(split)
    assert all(len(names) == 1 for names in splits_of.values())
    assert metrics["clusters"] == len(splits_of) == 151


def reworded_pairs(project: Project) -> list[tuple[str, str]]:
    """A hundred questions in two wordings each; data.csv holds them."""
    rows = faq(100)
    again = [(question.replace("What colour has", "Tell me: what colour does"), answer) for question, answer in rows]
    project.put("data.csv", csv_of([*rows, *again]))
    return [*rows, *again]


def test_wordings_held_back_have_a_trained_answer_and_words_that_are_in_no_split(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    reworded_pairs(project)
    metrics = project.run()
    train, reworded = project.rows("train"), project.rows("reworded")
    assert len(reworded) == metrics["rows"]["reworded"] == (len(train) + len(reworded)) // 10
    trained = {(row["cluster"], row["answer"]) for row in train}
    assert all((row["cluster"], row["answer"]) in trained for row in reworded)
    asked = {row["question"] for split in ("train", "validation", "test") for row in project.rows(split)}
    assert not asked & {row["question"] for row in reworded}
    assert metrics["leakage"] == {"questions": 0, "answers": 0, "near_duplicates": 0}
    sizes = metrics["rows"]
    assert f"train {sizes['train']}, reworded {sizes['reworded']}, validation " in capsys.readouterr().out


def test_without_rewordings_all_of_them_are_trained(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    reworded_pairs(project)
    held_back = project.run()["rows"]["reworded"]
    train = {row["id"] for row in project.rows("train") + project.rows("reworded")}
    project.set("split", reworded=False)
    capsys.readouterr()
    assert (held_back > 0, project.run()["rows"]["reworded"], project.rows("reworded")) == (True, 0, [])
    assert {row["id"] for row in project.rows("train")} == train
    assert "reworded" not in capsys.readouterr().out


def test_a_row_marked_good_or_put_right_in_chat_is_always_trained(project: Project) -> None:
    rows = reworded_pairs(project)
    project.run()
    first, second = project.rows("reworded")[:2]
    lines = [{"question": first["question"], "answer": first["answer"], "verdict": "good"}]
    lines += [{"question": f"Tell me, {rows[0][0]}", "answer": rows[0][1], "verdict": "fixed"}]
    Path("data/raw/corrections.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    project.set("data", corrections=True)
    project.run()
    held_back = {row["question"] for row in project.rows("reworded")}
    assert not held_back & {line["question"] for line in lines}
    assert second["question"] in held_back


def test_exact_duplicates_alone_leave_nothing_that_counts_as_leaked(project: Project) -> None:
    rows = [(f"{start} amber {i}?", f"Number {i}.") for i in range(60) for start in ("What is", "Explain")]
    project.put("data.csv", csv_of(rows))
    project.set("split", near_duplicate_threshold=1)
    metrics = project.run()
    assert (metrics["clusters"], metrics["leakage"]) == (120, {"questions": 0, "answers": 0, "near_duplicates": 0})


def test_different_answers_to_one_question_stay_in_one_cluster(project: Project) -> None:
    project.put("data.csv", csv_of([*faq(9), ("Tea or coffee?", "Tea."), ("tea or coffee", "Coffee.")]))
    metrics = project.run()
    first, second = project.everything()[-2:]
    assert (first["answer"], second["answer"]) == ("Tea.", "Coffee.")
    assert first["cluster"] == second["cluster"] == first["id"] != second["id"]
    assert metrics["conflicts"] == 1


def test_new_rows_do_not_move_old_ones(project: Project) -> None:
    project.put("data.csv", csv_of(faq(120)))
    project.run()
    before = {split: {row["id"] for row in project.rows(split)} for split in ("train", "validation", "test")}
    project.put("data.csv", csv_of(faq(400)))
    project.run()
    for split, ids in before.items():
        assert ids <= {row["id"] for row in project.rows(split)}


def test_random_split_follows_the_seed_and_keeps_clusters_whole(project: Project) -> None:
    project.put("data.csv", csv_of([*faq(100), *((question, "Another answer.") for question, _ in faq(50))]))
    project.set("split", method="random")
    seen = []
    for seed in (1, 1, 2):
        project.params["seed"] = seed
        metrics = project.run()
        assert metrics["leakage"]["questions"] == 0
        assert metrics["rows"]["train"] == pytest.approx(120, abs=4)
        seen.append([row["id"] for row in project.rows("test")])
    assert seen[0] == seen[1] != seen[2]


def test_validation_of_zero_gives_an_empty_file(project: Project) -> None:
    project.put("data.csv", csv_of(faq(40)))
    project.set("split", train=0.9, validation=0, test=0.1)
    assert project.run()["rows"]["validation"] == 0
    assert Path("data/prepared/validation.jsonl").read_bytes() == b""


def test_repetition_is_printed(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.put("data.csv", csv_of(faq(51) * 30))
    project.run()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "prepare   the data repeats itself: 1,530 rows hold 51 different ones, each is kept once"
    assert lines[1].startswith("prepare   1,530 rows read, 51 kept, 1,479 duplicates merged; train ")


def test_encoding_other_than_utf8_is_printed_and_counted(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(question, f"Là-bas, à côté de l’été: {answer}") for question, answer in faq(8)]
    project.put("data.csv", csv_of(rows).encode("cp1252"))
    assert project.run()["encodings"] == {"cp1252": 1}
    assert "data/raw/data.csv is read as cp1252" in capsys.readouterr().out
    assert project.everything()[0]["answer"].startswith("Là-bas, à côté de l’été")


def turns(question: str, answer: str) -> list[dict[str, str]]:
    return [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]


def test_several_files_and_shapes_come_together(project: Project) -> None:
    rows = faq(12)
    project.put("a.csv", csv_of(rows[:4], "Prompt,Reply"))
    project.put("b.jsonl", "".join(json.dumps({"instruction": q, "output": a}) + "\n" for q, a in rows[4:8]))
    project.put("c.json", json.dumps([{"conversations": turns(*row)} for row in rows[8:]]))
    project.set("data", path="data/raw", files=["*.csv", "*.json*"])
    metrics = project.run()
    assert [(row["question"], row["answer"]) for row in project.everything()] == rows
    assert (metrics["files"], metrics["rows_kept"]) == (3, 12)


def test_html_is_taken_out_if_set_so(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.put("data.csv", csv_of([(question, f"<p>{answer}</p>") for question, answer in faq(9)]))
    assert project.run()["html_rows"] == 9
    assert "9 rows hold HTML tags; data.html: true takes them out" in capsys.readouterr().out
    project.set("data", html=True)
    assert project.run()["html_rows"] == 0
    assert project.everything()[0]["answer"] == faq(1)[0][1]


def test_lengths_are_percentiles_in_characters(project: Project) -> None:
    rows = [(f"{question} {'x' * i}", "a" * (i + 1)) for i, (question, _) in enumerate(faq(101))]
    project.put("data.csv", csv_of(rows))
    assert project.run()["characters"]["answer"] == {"p50": 51, "p90": 91, "p99": 100, "max": 101}


def test_corrections_are_added_and_bad_answers_left_out(project: Project) -> None:
    rows = faq(8)
    project.put("data.csv", csv_of(rows))
    verdicts = [
        {"question": "Who are you?", "answer": "A model.", "verdict": "fixed"},
        {"question": rows[0][0], "answer": rows[0][1], "verdict": "bad"},
        {"question": rows[1][0], "answer": rows[1][1], "verdict": "bad"},
        {"question": rows[1][0], "answer": rows[1][1], "verdict": "good"},
    ]
    Path("data/raw/corrections.jsonl").write_text("".join(json.dumps(row) + "\n" for row in verdicts))
    project.set("data", corrections=True, question="question", answer="answer")
    metrics = project.run()
    kept = {row["question"] for row in project.everything()}
    assert kept == {"Who are you?", *(question for question, _ in rows[1:])}
    assert (metrics["marked_bad"], metrics["duplicates_merged"], metrics["rows_kept"]) == (2, 2, 8)
    bad = [(row["file"], row["line"]) for row in project.rows("rejects") if row["reason"] == "marked bad in chat"]
    assert bad == [("data/raw/data.csv", 2), ("data/raw/corrections.jsonl", 2)]


@pytest.mark.parametrize(("path", "corrections", "kept"), [
    ("data/raw", False, 8), ("data/raw", True, 10), ("data/raw/corrections.jsonl", False, 2),
    ("data/raw/corrections.jsonl", True, 2),
])  # fmt: skip
def test_answers_marked_bad_are_never_trained_on(project: Project, path: str, corrections: bool, kept: int) -> None:
    project.put("data.csv", csv_of(faq(8)))
    verdicts = [(f"Who are you, number {i}?", f"Model {i}.", ("good", "bad", "fixed")[i]) for i in range(3)]
    lines = [dict(zip(("question", "answer", "verdict"), row, strict=True)) for row in verdicts]
    project.put("corrections.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    project.set("data", path=path, corrections=corrections)
    project.set("split", train=1.0, validation=0, test=0)
    assert (project.run()["rows_kept"], "Model 1." in [row["answer"] for row in project.everything()]) == (kept, False)


def test_missing_corrections_are_no_error(project: Project) -> None:
    project.put("data.csv", csv_of(faq(5)))
    project.set("data", corrections=True)
    assert project.run()["rows_kept"] == 5


def test_other_processes_change_nothing(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.put("data.csv", csv_of([*faq(90), *faq(20), ("", "")]))
    monkeypatch.setattr(cleaned_rows, "CHUNK_ROWS", 10)
    project.run()
    alone = {path.name: path.read_bytes() for path in Path("data/prepared").iterdir()}
    monkeypatch.setattr(parallel, "FIRST_ITEMS", 2)
    monkeypatch.setattr(records, "BATCH_CHARS", 500)
    project.run()
    assert {path.name: path.read_bytes() for path in Path("data/prepared").iterdir()} == alone


def test_outputs_are_the_same_bytes_whatever_the_hash_seed(project: Project) -> None:
    project.put("data.csv", csv_of([*faq(40), *faq(10)]))
    project.run()
    here = [Path("data/prepared/train.jsonl").read_bytes(), Path("metrics/prepare.json").read_bytes()]
    environment = {"PYTHONHASHSEED": "1", "PYTHONPATH": str(ROOT), "PATH": ""}
    subprocess.run([sys.executable, "-m", "stages.prepare"], env=environment, check=True, capture_output=True)
    assert [Path("data/prepared/train.jsonl").read_bytes(), Path("metrics/prepare.json").read_bytes()] == here
    assert str(Path.cwd()).encode() not in b"".join(here)


def test_chain_of_similar_rows_is_printed(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    chain = [(f"How do I reset the large blue industrial device of type {i}?", f"Press {i}.") for i in range(40)]
    project.put("data.csv", csv_of([*faq(100), *chain]))
    metrics = project.run()
    assert (metrics["largest_cluster"], metrics["clusters"]) == (40, 101)
    assert "40 rows resemble each other in a chain and stay in one split" in capsys.readouterr().out


def test_values_left_aside_are_printed_and_counted(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"question": question, "answer": [answer, "Or not."]} for question, answer in faq(7)]
    project.put("data.json", json.dumps(rows))
    assert project.run()["left_aside"] == {"further_values": 7}
    assert "7 further values of cells that hold lists are left aside" in capsys.readouterr().out
