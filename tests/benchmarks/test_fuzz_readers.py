"""Two thousand damaged files end in rows or a clear error; `python -m benchmarks.fuzz_readers` reads many more."""

from typing import Any

import pytest

from benchmarks import fuzz_readers
from benchmarks.fuzz_readers import fuzz, make
from lockstep.core.errors import LockstepError


def test_damaged_files_end_in_rows_or_a_clear_error() -> None:
    tally = fuzz(seed=1, first=0, seconds=60, most=2000)
    assert tally.findings == []
    assert tally.inputs == 2000
    for ending in (".csv", ".tsv", ".json", ".jsonl", ".txt", ".md", ".corrections"):
        assert tally.outcomes[ending, "rows"] > 0
        assert tally.outcomes[ending, "refused"] > 0


def test_an_input_follows_from_its_seed_and_number() -> None:
    assert make(3, 14) == make(3, 14) != make(3, 15)


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (KeyError("question"), "KeyError: 'question' at test_fuzz_readers.py"),
        (RecursionError("too deep"), "RecursionError: too deep at test_fuzz_readers.py"),
        (LockstepError("It is wrong. " * 100), "a message of 1299 characters: 'It is wrong."),
    ],
)
def test_any_other_outcome_of_a_reader_is_a_finding(
    monkeypatch: pytest.MonkeyPatch, error: Exception, problem: str
) -> None:
    def read(*_: Any) -> int:
        raise error

    monkeypatch.setattr(fuzz_readers, "read", read)
    [finding] = fuzz(seed=1, first=7, seconds=60, most=1).findings
    assert finding.startswith("--seed 1 --only 7 (")
    assert problem in finding


def test_a_reader_that_takes_too_long_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: Any) -> int:
        while True:
            pass

    monkeypatch.setattr(fuzz_readers, "read", read)
    monkeypatch.setattr(fuzz_readers, "SECONDS", 0.05)
    [finding] = fuzz(seed=1, first=7, seconds=60, most=1).findings
    assert "TooLong" in finding
