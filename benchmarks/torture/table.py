"""The table of a campaign, on the screen and in the docs."""

from collections.abc import Iterable
from pathlib import Path

from benchmarks.torture.faults import KINDS
from benchmarks.torture.project import ROOT, STAGES
from benchmarks.torture.referee import Outcome, Verdict

PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- torture: begin -->", "<!-- torture: end -->"


def table(verdicts: Iterable[Verdict]) -> str:
    """Fault kind x stage as Markdown: faults injected in each stage, and how those of each kind ended."""
    verdicts = list(verdicts)
    head = ["fault", *STAGES, "injected", "recovered, same bytes", "clear error, then recovered", "lost"]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for kind in [*KINDS, "all"]:
        those = [verdict for verdict in verdicts if kind in (verdict.kind, "all")]
        if those:
            stages = [sum(verdict.stage == stage for verdict in those) for stage in STAGES]
            ends = [sum(verdict.outcome is outcome for verdict in those) for outcome in Outcome]
            lines.append([kind, *(str(count or "") for count in stages), *map(str, [len(those), *ends])])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def write_docs(text: str, page: Path = PAGE) -> None:
    """Put a table between the marks of the page. Raises ValueError where they are not there."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} does not hold {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")
