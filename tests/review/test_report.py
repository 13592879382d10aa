"""metrics/report.html: self-contained, escaped, and without a complaint in a real browser."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import running_chromium
from projects import ROOT, Project

from lockstep.evaluation.charts import binned_curve, learning_curves, row_changes
from lockstep.review.report import answer_sections, group_by_rank, inline_svg, mark_shared_words

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>{{ 7 * 7 }}"


def line(number: int, chrf: float) -> dict[str, Any]:
    return {"id": f"{number:016x}", "chrf": chrf}


def make_evil() -> None:
    """Put markup into every text of a user that the report shows."""
    lines = [json.loads(text) for text in Path("metrics/answers.jsonl").read_text().splitlines()]
    lines = [{**one, "question": EVIL, "reference": EVIL, "base": EVIL, "tuned": EVIL} for one in lines]
    Path("metrics/answers.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))


@pytest.fixture
def page(after: Project) -> str:
    after.set("data", path=f"data/raw/{EVIL}")
    make_evil()
    assert after.command("report").returncode == 0
    return Path("metrics/report.html").read_text(encoding="utf-8")


def test_texts_of_users_are_escaped_everywhere(page: str) -> None:
    assert "<script" not in page
    assert "<img" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") > 4
    assert "{{ 7 * 7 }}" in page.replace("&#34;", '"')


def test_the_page_refers_to_nothing_outside_itself(page: str) -> None:
    outside = re.findall(r'(?:src|href|action)="(?!#|data:)([^"]*)"|url\((?!#)([^)]*)\)|@import', page)
    assert outside == []
    assert len(page) < 600_000


def test_the_page_shows_verdict_figures_charts_answers_and_settings(page: str) -> None:
    for text in (
        "perplexity of held-out answers",
        "Bits per byte",
        "Leakage",
        "Settings",
        "Changed since",
        "train.epochs",
    ):
        assert text in page
    assert page.count("<svg") == 6


def test_the_same_files_give_the_same_page(after: Project) -> None:
    after.run("report")
    first = Path("metrics/report.html").read_bytes()
    after.run("report")
    assert Path("metrics/report.html").read_bytes() == first


def test_a_report_before_the_evaluation_is_one_clear_line(project: Project) -> None:
    done = project.command("report")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "metrics/evaluate.json" in done.stderr
    assert "`make repro`" in done.stderr


@pytest.mark.parametrize("target", ["repro", "evaluate", "export", "report"])
def test_make_lays_the_report_out_last(target: str) -> None:
    command = ["make", "--no-print-directory", "--dry-run", "READY=", target]  # printed under `make test`
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "python -m lockstep report"


def test_the_closest_and_the_farthest_share_no_answer() -> None:
    groups = group_by_rank([line(number, float(number)) for number in range(50)])
    titles = ("Closest to your answers", "In between", "Farthest from your answers")
    assert [(title, len(lines)) for title, lines in groups] == [(title, 10) for title in titles]
    assert [lines[0]["chrf"] for _, lines in groups] == [49, 29, 9]
    few = group_by_rank([line(number, float(number)) for number in range(7)])
    assert [[one["chrf"] for one in lines] for _, lines in few] == [[6, 5], [4, 3], [1, 0]]
    assert [(title, len(lines)) for title, lines in group_by_rank([line(0, 1.0)])] == [("All", 1)]
    assert group_by_rank([]) == []


def test_answers_are_laid_out_by_kind_of_question_and_texts_in_one_section() -> None:
    lines = [line(number, float(number)) | {"kind": kind} for number, kind in enumerate(["known"] * 3 + ["new"] * 6)]
    sections = answer_sections(lines, "qa")
    assert [(heading, name) for heading, name, _ in sections] == [
        ("Known questions", "known"),
        ("New questions", "new"),
    ]
    assert [len(some) for _, _, groups in sections for _, some in groups] == [1, 1, 1, 2, 2, 2]
    [(heading, _, groups)] = answer_sections([line(number, 1.0) for number in range(3)], "text")
    assert (heading, groups[0][0]) == ("", "Closest to your texts")


def test_the_page_counts_right_answers_by_kind_states_the_rule_and_cuts_repetition(after: Project) -> None:
    lines = [json.loads(text) for text in Path("metrics/answers.jsonl").read_text().splitlines()]
    lines = [{**one, "base": "so it is " * 9, "right": one["kind"] == "known"} for one in lines]
    Path("metrics/answers.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    after.run("report")
    page = Path("metrics/report.html").read_text(encoding="utf-8")
    assert "Right is a rule, not a judgement: token F1 of 0.6 or more with your answer" in page
    assert '<td>known</td><td class="n">3</td><td class="n">0</td><td class="n best">0</td><td class="n">3</td>' in page
    assert "so it is so it is … (goes on repeating)" in page
    assert page.count('<span class="right">right</span>') == 3
    assert page.count('<span class="wrong">not right</span>') == 3


def test_words_the_reference_holds_are_marked() -> None:
    assert [piece for piece, hit in mark_shared_words("The mean is a Mean, of it.", "a mean of it") if hit] == [
        "mean",
        "Mean",
    ]
    assert "".join(piece for piece, _ in mark_shared_words("a, b\n c", "")) == "a, b\n c"


def test_charts_are_the_same_bytes_each_time_and_name_no_time_or_version() -> None:
    points = [{"first": 1, "last": 1, "base": 2.0, "tuned": 1.0}, {"first": 2, "last": 3, "base": 3.0, "tuned": 2.0}]
    chart = binned_curve(points, "place")
    assert chart == binned_curve(points, "place")
    assert not re.search(r"20\d\d-|Matplotlib v|/home|/work", chart)
    assert "2–3" in chart


def test_charts_stand_empty_curves_and_a_single_row() -> None:
    epochs = [{"tokens": 0.0, "train_loss": 1.0}]
    assert "validation" not in learning_curves(epochs, [])
    assert "1 better" in row_changes([-0.5])


def test_two_charts_in_one_page_share_no_id() -> None:
    chart = row_changes([-1.0, 1.0])
    ids = [set(re.findall(r'\bid="([^"]+)"', inline_svg(chart, name))) for name in ("rows", "length")]
    assert ids[0]
    assert not ids[0] & ids[1]


@pytest.fixture
def chromium() -> Iterator[Any]:
    with running_chromium() as browser:
        yield browser


@pytest.mark.browser
@pytest.mark.enable_socket
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_it_without_error_request_or_sideways_scroll(page: str, chromium: Any, width: int) -> None:
    tab = chromium.new_context(viewport={"width": width, "height": 844}).new_page()
    complaints: list[str] = []
    requests: list[str] = []
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("dialog", lambda dialog: complaints.append(dialog.message))
    tab.on("request", lambda request: requests.append(request.url))
    tab.goto(Path("metrics/report.html").absolute().as_uri())
    tab.screenshot(path="report.png", full_page=True)
    assert complaints == []
    assert len(requests) == 1
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.locator("svg").first.bounding_box()["width"] > 0.5 * min(width, 500)
    assert Path("report.png").stat().st_size > 20_000
