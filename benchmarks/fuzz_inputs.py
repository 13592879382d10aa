"""Files as people have them, and what may befall them: the inputs of benchmarks.fuzz_readers."""

import csv
import io
import json
import random
from collections.abc import Callable
from typing import Any

TEXT = "what is the mean of amber birch größe café 漢字 été 🦊 e\u0301 it’s “so” <b>bold</b> &amp; 3.5% C++ a/b"
WORDS = TEXT.split()
CODECS = ["utf-8"] * 6 + [
    "utf-8-sig",
    "utf-16",
    "utf-16-le",
    "utf-16-be",
    "utf-32",
    "cp1252",
    "cp1251",
    "gb18030",
    "cp932",
]
NAMED = [
    "utf-8",
    "latin-1",
    "cp1252",
    "utf-16",
    "utf-16-le",
    "utf-32",
    "utf-7",
    "gb18030",
    "shift_jis",
    "iso2022_jp",
    "hz",
]
NAMED += [
    "unicode_escape",
    "raw_unicode_escape",
    "big5",
    "euc_kr",
    "cp037",
    "ascii",
    "utf-8-sig",
    "idna",
    "nonsense",
    "",
]
TOKENS = [b'"', b'""', b",", b";", b"\t", b"|", b"\n", b"\r", b"\r\n", b"\0", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"]
TOKENS += [
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b"\\",
    b"\\u",
    b"\\ud800",
    b"\xed\xa0\x80",
    b"\xf0\x9f",
    b"\x1a",
    b"\x0c",
    b"\xa0",
]
TOKENS += [b"\xe2\x80\xa8", b"\xe2\x80\x8d", b"\xcc\x81", b"null", b"NaN", b"1e999", b"-0", b'{"a":', b'"question":']
TOKENS += [
    b"<p ",
    b"=",
    b"<!--",
    b"<![",
    b"&#x110000;",
    b"<div>",
    b"</",
    b"  ",
    b"PK\x03\x04",
    b"\x1f\x8b",
    b"question,answer",
]


def sentence(rng: random.Random, most: int = 12) -> str:
    """Some words."""
    return " ".join(rng.choices(WORDS, k=rng.randint(0, most)))


def table(rng: random.Random, delimiter: str) -> str:
    """Questions and answers as a spreadsheet writes them."""
    text = io.StringIO(newline="")
    quoting: Any = rng.choice([csv.QUOTE_ALL, csv.QUOTE_MINIMAL])
    writer = csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator=rng.choice(["\n", "\r\n"]))
    header = rng.choice([["question", "answer"]] * 6 + [["id", "Prompt", "Reply", ""], ["Q", "A"]])
    extra = ["", "", "", "", "\nmore", ' "so"', "\n\n"]
    writer.writerows([header, *([sentence(rng) + rng.choice(extra) for _ in header] for _ in range(20))])
    return text.getvalue()


def objects(rng: random.Random) -> list[dict[str, Any]]:
    """Rows of the shapes that data sets have."""
    shapes: list[Callable[[], dict[str, Any]]] = [
        lambda: {"question": sentence(rng), "answer": sentence(rng)},
        lambda: {"instruction": sentence(rng), "input": sentence(rng, 2), "output": [sentence(rng)]},
        lambda: {"messages": [{"role": role, "content": sentence(rng)} for role in ("user", "assistant")]},
        lambda: {"question": sentence(rng), "answer": {"text": [sentence(rng)]}, "id": rng.random()},
    ]
    shape = rng.choice(shapes)
    rows = [shape() for _ in range(rng.randint(1, 12))]
    for row in rows:
        if rng.random() < 0.1:
            row[rng.choice(list(row))] = rng.choice(
                [None, 5, True, [], {}, [[]], {"a": 1}, "x" * 3000, float("nan"), -0.0]
            )
    return rows


def squad(rng: random.Random) -> dict[str, Any]:
    """Questions below paragraphs."""
    questions = [{"question": sentence(rng), "answers": [{"text": sentence(rng)}]} for _ in range(4)]
    return {"data": [{"paragraphs": [{"context": sentence(rng), "qas": questions}]}]}


def prose(rng: random.Random) -> str:
    """Paragraphs."""
    return rng.choice(["\n\n", "\n", "\r\n\r\n", "\n\f\n"]).join(sentence(rng, 60) for _ in range(rng.randint(1, 12)))


def whole_file(rng: random.Random) -> tuple[str, bytes]:
    """(ending, bytes) of a file without fault."""
    ending = rng.choice([".csv", ".csv", ".tsv", ".json", ".json", ".jsonl", ".txt", ".md", ".corrections"])
    if ending in (".csv", ".tsv"):
        text = table(rng, "\t" if ending == ".tsv" else rng.choice(",;|"))
    elif ending == ".json":
        value = squad(rng) if rng.random() < 0.3 else objects(rng)
        text = json.dumps(value, indent=rng.choice([None, 1]), ensure_ascii=rng.random() < 0.5)
    elif ending == ".jsonl":
        text = "\n".join(json.dumps(row, ensure_ascii=rng.random() < 0.5) for row in objects(rng))
    elif ending == ".corrections":
        verdicts = ("good", "fixed", "bad", "odd")
        rows = [{"question": sentence(rng), "answer": sentence(rng), "verdict": rng.choice(verdicts)} for _ in range(5)]
        text = "\n".join(map(json.dumps, rows))
    else:
        text = table(rng, ",") if rng.random() < 0.2 else prose(rng)
    return ending, text.encode(rng.choice(CODECS), errors="replace")


def befallen(rng: random.Random, content: bytes) -> bytes:
    """The file after something went wrong with it."""
    place, other = sorted((rng.randint(0, len(content)), rng.randint(0, len(content))))
    lines = content.split(b"\n")
    accidents: list[Callable[[], bytes]] = [
        lambda: content[:place],
        lambda: content[other:],
        lambda: content[:place] + content[other:],
        lambda: content[:other] + content[place:],
        lambda: content[:place] + rng.randbytes(rng.randint(1, 30)) + content[place:],
        lambda: content[:place] + rng.choice(TOKENS) + content[place:],
        lambda: content[:place] + rng.choice(TOKENS) * rng.choice([2, 100, 5000]) + content[other:],
        lambda: content[:place] + bytes([rng.randrange(256)]) + content[place + 1 :],
        lambda: bytes(b ^ (1 << rng.randrange(8)) if rng.random() < 0.01 else b for b in content),
        lambda: content[:place] + whole_file(rng)[1][rng.randint(0, 200) :],
        lambda: content.replace(*rng.sample(TOKENS, 2)),
        lambda: b"\n".join(rng.sample(lines, len(lines))),
        lambda: b"\n".join([*lines, *lines[: rng.randint(0, len(lines))]]),
        lambda: b"\n".join(line for line in lines if rng.random() < 0.8),
        lambda: content * rng.choice([1, 2, 50]),
        lambda: rng.randbytes(rng.randint(0, 3000)),
    ]
    return rng.choice(accidents)()


def settings(rng: random.Random) -> dict[str, Any]:
    """Settings under data: mostly as shipped."""
    odd: dict[str, list[Any]] = {
        "question": ["Q", "id", "question", "x"],
        "answer": ["A", "output", "answer", "question"],
        "context": [None, "input", "x"],
        "header": [False],
        "delimiter": [";", "\t", "\\t", "::", "", "é", " "],
        "encoding": NAMED,
        "html": [True] * 3,
        "passage_chars": [0, 20, 50],
    }
    return {key: rng.choice(values) for key, values in odd.items() if rng.random() < 0.12}
