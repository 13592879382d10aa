"""What holds for any data at all: no text changes on its way, no row disappears, no cluster is divided, every token
is where it belongs."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from preparing import ROOT, Project, faq
from transformers import PreTrainedTokenizerFast

from lockstep.artifacts.prompt import Prompt
from lockstep.artifacts.records import Question
from lockstep.artifacts.rows import RowBlock, audit
from lockstep.core.settings import Data
from lockstep.data.readers import Noted, read_pairs, read_texts
from lockstep.data.sources import Source
from lockstep.modeling.collate import BIN_ROWS, LINE_STEP, Layout, collate
from lockstep.pretrained.tokenizer import encoder_of, train_tokenizer
from lockstep.tokenization.examples import QuestionRows

DATA = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["data"]
END = "<|endoftext|>"
SHARED_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
FEW = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)

TRAPS = [
    "",
    " ",
    '"',
    '""',
    ",",
    ";\t|",
    "\n",
    "\r\n",
    "a\n\nb",
    "\\",
    "'",
    "=1+1",
    "NULL",
    "nan",
    "{}",
    "[1]",
    END,
    "\u2028",
    "\x85",
]
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff"), max_size=25)
CELLS = (
    st.sampled_from(TRAPS)
    | TEXTS
    | st.lists(st.sampled_from([*TRAPS, "word", "\u00e9", "漢"]), max_size=5).map("".join)
)
PAIRS = st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=8)
CODECS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be", "utf-7", "gb18030"])


def read(path: Path, codec: str) -> list[tuple[str, str]]:
    """The pairs of a file; the encodings that tell themselves are found, others named."""
    told = codec in ("utf-8", "utf-8-sig", "utf-16", "utf-32")
    given_settings = Data(**{**DATA, "encoding": "auto" if told else codec})
    return [(q, a) for _, q, a in read_pairs(Source(path, path.name), given_settings, Noted())]


@SHARED_FOLDER
@given(
    PAIRS,
    st.sampled_from(",;\t|"),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    st.sampled_from(["\n", "\r\n"]),
    CODECS,
)
def test_any_table_comes_back_as_it_was_written(
    tmp_path: Path, pairs: list[tuple[str, str]], delimiter: str, quoting: Any, ending: str, codec: str
) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator=ending)
    writer.writerows([("question", "answer"), *pairs])
    (tmp_path / "t.csv").write_bytes(text.getvalue().encode(codec))
    assert read(tmp_path / "t.csv", codec) == pairs


@SHARED_FOLDER
@given(PAIRS, st.booleans(), st.sampled_from([None, 1, "\t"]), st.booleans(), CODECS)
def test_any_json_comes_back_as_it_was_written(
    tmp_path: Path, pairs: list[tuple[str, str]], ascii_only: bool, indent: Any, lines: bool, codec: str
) -> None:
    rows = [{"id": number, "question": q, "answer": a} for number, (q, a) in enumerate(pairs)]
    written = [json.dumps(row, ensure_ascii=ascii_only) for row in rows]
    text = "\n".join(written) if lines else json.dumps(rows, ensure_ascii=ascii_only, indent=indent)
    (tmp_path / "t.json").write_bytes(text.encode(codec))
    assert read(tmp_path / "t.json", codec) == pairs


@SHARED_FOLDER
@given(st.lists(CELLS, max_size=12), st.integers(0, 40), CODECS)
def test_of_any_text_nothing_but_white_space_is_lost(tmp_path: Path, parts: list[str], size: int, codec: str) -> None:
    text = "\n\n".join(parts)
    assume(text)
    (tmp_path / "t.txt").write_bytes(text.encode(codec))
    told = codec in ("utf-8", "utf-8-sig", "utf-16", "utf-32")
    passages = read_texts(
        Source(tmp_path / "t.txt", "t.txt"),
        Data(**{**DATA, "passage_chars": size, "encoding": "auto" if told else codec}),
        Noted(),
    )
    assert "".join("".join(passage.text for passage in passages).split()) == "".join(text.split())


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
    def homes(rows: list[tuple[str, str]]) -> dict[str, str]:
        prepared.put("data.jsonl", "\n".join(json.dumps({"question": q, "answer": a}) for q, a in rows))
        metrics = prepared.run()
        assert 0.6 < metrics["rows"]["train"] / len(rows) < 0.95  # 0.8 is asked for
        return {row["id"]: split for split in ("train", "validation", "test") for row in prepared.rows(split)}

    before = homes(faq(count))
    rows = faq(count + more)
    random.shuffle(rows)
    assert before.items() <= homes(rows).items()


BYTES = train_tokenizer([], 257, 512)
TEMPLATES = [
    "{question}{answer}",
    "Question: {question}\nAnswer: {answer}",
    "Q{question}A  {answer} !",
    f"{END}{{question}}\n{{answer}}{END}",
]
SPOKEN = st.sampled_from(
    [END, f"a{END}", "👩‍👩‍👧‍👦", "e\u0301\u0323", "🇩🇪🇫🇷", "ไทย", "<s>", "{answer}", "{question}", " a ", "größer"]
)
SAID = st.lists(SPOKEN | TEXTS, min_size=1, max_size=4).map("".join).filter(bool)


def shown(tokenizer: PreTrainedTokenizerFast, ids: list[int]) -> str:
    return tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)


@pytest.mark.parametrize("bytewise", [True, False])
@SHARED_FOLDER
@given(SAID, SAID, st.sampled_from(TEMPLATES), st.integers(36, 200))
@example("🦊🦊🦊", "🦊🦊🦊🦊🦊🦊🦊🦊🦊🦊", "{question}{answer}", 36)
def test_the_answer_and_one_end_of_text_are_learnt_and_nothing_else(
    tokenizer: PreTrainedTokenizerFast, bytewise: bool, question: str, answer: str, template: str, room: int
) -> None:
    tokenizer = BYTES if bytewise else tokenizer
    prompt = Prompt(template=template)
    encoder = encoder_of(tokenizer)
    maker = QuestionRows(encoder, prompt, "answer", room, "truncate")
    [row] = maker.rows([Question("1", "1", question, answer, "a.csv", 2)])
    audit([RowBlock.of([row])], encoder.end, "qa")
    assert len(row.ids) <= room and row.target_start == row.answer_start
    given_text, learnt = shown(tokenizer, row.ids[: row.target_start]), shown(tokenizer, row.ids[row.target_start :])
    said = prompt.answer_text(answer)
    if maker.noted.answer_cut:
        assert said.startswith(learnt.removesuffix(END)) and learnt.endswith(END)
    else:
        assert learnt == said + END
    shorter = {prompt.question_text(question[:end]) for end in range(len(question) + 1)}
    assert given_text in (
        shorter if maker.noted.question_cut or maker.noted.answer_cut else {prompt.question_text(question)}
    )
    if not (maker.noted.question_cut or maker.noted.answer_cut):
        [everything] = QuestionRows(encoder, prompt, "all", room, "error").rows(
            [Question("1", "1", question, answer, "a", 2)]
        )
        assert (everything.ids, everything.target_start, everything.answer_start) == (row.ids, 1, row.answer_start)


LENGTHS = st.lists(
    st.integers(2, 40).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n - 1))), min_size=1, max_size=12
)


@given(LENGTHS, st.sampled_from(["line", "bins"]))
def test_packing_keeps_every_token_once_with_positions_and_targets_of_its_own(
    shapes: list[tuple[int, int]], layout: Layout
) -> None:
    ends = torch.tensor([length for length, _ in shapes]).cumsum(0)
    rows: list[dict[str, Any]] = [
        {"input_ids": torch.arange(int(end) - length, int(end)) + 1, "target_start": start}
        for end, (length, start) in zip(ends, shapes, strict=True)
    ]
    packed, plain = collate(rows, 0, layout), collate(rows, 0, "padded")
    ids, longest = packed["input_ids"], max(length for length, _ in shapes)
    tokens = ids[ids > 0].tolist()
    assert sorted(tokens) == list(range(1, int(ends[-1]) + 1))
    assert ids.numel() - len(tokens) < LINE_STEP if layout == "line" else ids.shape[1] < BIN_ROWS * longest + LINE_STEP
    positions = packed.get("position_ids", torch.arange(ids.shape[1]).expand(ids.shape))
    expected = {int(token): place for row in rows for place, token in enumerate(row["input_ids"])}
    assert dict(zip(tokens, positions[ids > 0].tolist(), strict=True)) == expected

    def pairs(batch: dict[str, Any]) -> list[tuple[int, int]]:
        before = batch["input_ids"].flatten()[batch["target_index"]]
        return sorted(zip(before.tolist(), batch["targets"].tolist(), strict=True))

    learnt = [int(token) for row in rows for token in row["input_ids"][row["target_start"] - 1 : -1]]
    assert pairs(packed) == pairs(plain) == [(token, token + 1) for token in learnt]
