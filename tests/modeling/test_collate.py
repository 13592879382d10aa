"""Batches: whichever way rows are laid out, each target is predicted from its own row and nothing else counts."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lockstep.modeling.collate import BIN_ROWS, LINE_STEP, Layout, batches_by_length, collate

PAD = 9


def row(*ids: int, start: int = 1) -> dict[str, Any]:
    return {"input_ids": torch.tensor(ids), "target_start": start}


def learnt(batch: dict[str, Any]) -> list[tuple[int, int]]:
    """(token, the token to be predicted from it) of every target, in order of the tokens."""
    given_ids = batch["input_ids"].flatten()[batch["target_index"]]
    return sorted(zip(given_ids.tolist(), batch["targets"].tolist(), strict=True))


def test_equally_long_rows_are_stacked_without_mask() -> None:
    batch = collate([row(1, 2, 3), row(4, 5, 6, start=2)], PAD, "line")
    assert batch["input_ids"].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert not {"attention_mask", "position_ids"} & set(batch)
    assert learnt(batch) == [(1, 2), (2, 3), (5, 6)]
    assert batch["tokens"] == 6


def test_padding_is_masked_and_never_a_target() -> None:
    batch = collate([row(1, 2, 3, start=2), row(4, 9)], PAD, "padded")
    assert batch["input_ids"].tolist() == [[1, 2, 3], [4, 9, PAD]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert learnt(batch) == [(2, 3), (4, 9)]
    assert batch["tokens"] == 5


@pytest.mark.parametrize("layout", ["line", "bins"])
def test_packed_rows_count_their_positions_from_nought(layout: Layout) -> None:
    batch = collate([row(5, 6, start=1), row(1, 2, 3, 4), row(7, 8)], PAD, layout)
    assert learnt(batch) == [(1, 2), (2, 3), (3, 4), (5, 6), (7, 8)]
    flat = list(zip(batch["input_ids"].flatten().tolist(), batch["position_ids"].flatten().tolist(), strict=True))
    assert {(1, 0), (4, 3), (5, 0), (6, 1), (7, 0), (8, 1)} <= set(flat)
    assert batch["tokens"] == 8


@pytest.mark.parametrize("layout", ["line", "bins"])
@pytest.mark.parametrize("lengths", [(70, 70, 10), (70, 3), (5, 2, 2)])
def test_no_position_is_beyond_the_longest_row(layout: Layout, lengths: tuple[int, ...]) -> None:
    batch = collate([row(*range(100, 100 + length)) for length in lengths], PAD, layout)
    assert int(batch["position_ids"].max()) == max(lengths) - 1  # a model's context may be just that long
    if layout == "bins":
        assert batch["input_ids"].shape[1] % 64 == 0


def test_a_line_says_where_each_row_begins() -> None:
    batch = collate([row(5, 6), row(1, 2, 3, 4), row(7, 8)], PAD, "line")
    assert batch["input_ids"].tolist() == [[1, 2, 3, 4, 5, 6, 7, 8]]
    assert batch["attention_mask"].tolist() == [[[[0, 4, 6, 8]]]]


def test_a_line_is_filled_up_with_a_row_of_padding_shorter_than_the_longest() -> None:
    batch = collate([row(5, 6), row(1, 2, 3, 4), row(7, 8, 10)], PAD, "line")
    assert batch["input_ids"].tolist() == [[1, 2, 3, 4, 7, 8, 10, 5, 6, PAD, PAD, PAD]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 3, 0, 1, 2, 0, 1, 0, 1, 2]]
    assert batch["attention_mask"].tolist() == [[[[0, 4, 7, 9, 12]]]]
    assert (learnt(batch), batch["tokens"]) == ([(1, 2), (2, 3), (3, 4), (5, 6), (7, 8), (8, 10)], 9)


ROWS = st.lists(
    st.integers(2, 12).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n - 1))), min_size=1, max_size=9
)


@settings(deadline=None)
@given(ROWS, st.sampled_from(["line", "bins", "padded"]))
def test_every_layout_has_the_same_targets(shapes: list[tuple[int, int]], layout: Layout) -> None:
    rows, expected, token = [], [], 100
    for length, start in shapes:
        ids = list(range(token, token + length))
        rows.append(row(*ids, start=start))
        expected += [(ids[place - 1], ids[place]) for place in range(start, length)]
        token += length
    batch = collate(rows, PAD, layout)
    assert learnt(batch) == expected
    assert batch["tokens"] == sum(length for length, _ in shapes)
    assert not any(value.is_floating_point() for value in batch.values() if torch.is_tensor(value))


@pytest.mark.parametrize(
    ("lengths", "tokens", "batches"),
    [
        ([], 8, []),
        ([5, 2, 4, 2], 8, [[1, 3], [2], [0]]),
        ([3, 3, 3, 3], 6, [[0, 1], [2, 3]]),
        ([50], 8, [[0]]),
    ],
)
def test_batches_hold_rows_of_similar_length_within_a_number_of_tokens(
    lengths: list[int], tokens: int, batches: list[list[int]]
) -> None:
    assert batches_by_length(lengths, tokens) == batches


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
    expected = {int(token): position for row in rows for position, token in enumerate(row["input_ids"])}
    assert dict(zip(tokens, positions[ids > 0].tolist(), strict=True)) == expected

    targets = [int(token) for row in rows for token in row["input_ids"][row["target_start"] - 1 : -1]]
    assert learnt(packed) == learnt(plain) == [(token, token + 1) for token in targets]
