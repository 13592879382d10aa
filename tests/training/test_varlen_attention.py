"""Attention over rows packed into one line: it is that of each row alone."""

import pytest
import torch
from small_models import PAD, SHAPES, build, loop_loss, random_rows

from lockstep.modeling.collate import collate
from lockstep.training import varlen_attention
from lockstep.training.step import TrainingStep
from lockstep.training.varlen_attention import group_rows


def test_long_rows_and_short_ones_share_a_line() -> None:
    model, rows = build(SHAPES["gpt2"]), random_rows(6, 600)
    lengths = [len(row["input_ids"]) for row in rows]
    assert max(lengths) > varlen_attention.SHORT > min(lengths)
    model.set_attn_implementation(varlen_attention.NAME)
    with torch.no_grad():
        loss = TrainingStep("line", True).loss(model, collate(rows, PAD, "line"))
        assert float(loss) == pytest.approx(float(loop_loss(model, rows)), rel=1e-6)


def test_a_row_does_not_see_the_rows_beside_it() -> None:
    model, rows = build(SHAPES["gpt2"]), random_rows(5)
    model.set_attn_implementation(varlen_attention.NAME)
    longest = max(range(5), key=lambda index: len(rows[index]["input_ids"]))
    others = [
        row if index == longest else {**row, "input_ids": row["input_ids"][::-1].copy()}
        for index, row in enumerate(rows)
    ]
    with torch.no_grad():
        first, second = (
            model(**{name: batch[name] for name in ("input_ids", "position_ids", "attention_mask")}).logits[0]
            for batch in (collate(rows, PAD, "line"), collate(others, PAD, "line"))
        )
    length = len(rows[longest]["input_ids"])
    assert torch.equal(first[:length], second[:length])
    assert not torch.equal(first[length:], second[length:])


@pytest.mark.parametrize(
    ("lengths", "groups"),
    [
        ((9, 8, 5, 4, 3), [(9, 8, 5), (4, 3)]),
        ((400, 300, 250, 200), [(400, 300), (250, 200)]),
        ((7,), [(7,)]),
    ],
)
def test_rows_of_similar_length_are_grouped(lengths: tuple[int, ...], groups: list[tuple[int, ...]]) -> None:
    assert group_rows(lengths) == groups


def test_attention_dropout_is_refused_rather_than_ignored() -> None:
    states, cu_seqlens = torch.zeros(1, 2, 5, 4), torch.tensor([0, 3, 5], dtype=torch.int32)[None, None, None]
    with pytest.raises(NotImplementedError, match="causal attention only"):
        varlen_attention.attend(torch.nn.Identity(), states, states, states, cu_seqlens, dropout=0.1)
