"""Token rows in blocks, and the audit of their targets."""

import pytest

from lockstep.artifacts.rows import Row, RowBlock, audit, even_blocks
from lockstep.core.errors import LockstepError


@pytest.mark.parametrize(
    ("row", "kind", "problem"),
    [
        (Row([1, 2], 2, 2), "qa", "no target"),
        (Row([1, 0], 0, 0), "qa", "no target"),
        (Row([1, 2, 3], 1, 1), "qa", "end-of-text"),
        (Row([1, 0, 2, 0], 1, 1), "qa", "end-of-text"),
        (Row([1], 1, 1), "text", "no target"),
    ],
)
def test_the_audit_names_the_first_wrong_row(row: Row, kind: str, problem: str) -> None:
    with pytest.raises(LockstepError, match=f"^Row 1 .*{problem}"):
        audit([RowBlock.of([Row([1, 0], 1, 1), row])], 0, kind)


def test_the_audit_passes_texts_with_several_ends_of_text() -> None:
    audit([RowBlock.of([Row([0, 1, 0, 0, 2], 1, 1)])], 0, "text")


def test_the_first_wrong_row_is_counted_over_all_blocks() -> None:
    good, endless, targetless = Row([1, 0], 1, 1), Row([1, 2], 1, 1), Row([1, 0], 2, 2)
    blocks = [RowBlock.of([good] * 3), RowBlock.of([good, endless, targetless])]
    with pytest.raises(LockstepError, match="^Row 4 .*end-of-text"):
        audit(blocks, 0, "qa")


@pytest.mark.parametrize("sizes", [[7], [1, 6], [2, 0, 3, 2], [3, 3, 1]])
def test_even_blocks_do_not_depend_on_the_blocks_given(sizes: list[int]) -> None:
    rows = [Row(list(range(1, number + 3)), 1, number + 1) for number in range(7)]
    blocks = [RowBlock.of(rows[sum(sizes[:index]) : sum(sizes[: index + 1])]) for index in range(len(sizes))]
    even = list(even_blocks(blocks, 3))
    assert [len(block) for block in even] == [3, 3, 1]
    assert [row for block in even for row in block.rows()] == rows
