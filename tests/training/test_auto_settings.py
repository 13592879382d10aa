"""What auto stands for: the choice follows the data and the base, and a number in params.yaml always wins."""

import copy

import pytest
from shipped_settings import SHIPPED

from lockstep.artifacts.prompt import Prompt
from lockstep.core.settings import Train
from lockstep.training.auto_settings import (
    AUTO,
    LARGEST_BATCH,
    SMALLEST_BATCH,
    STEP_TOKENS,
    ChosenTrain,
    choice_of,
    choose_settings,
)

CHOSEN = ("epochs", "per_device_batch_size", "learning_rate", "keep")


def train(**changes: object) -> Train:
    values = copy.deepcopy(SHIPPED["train"]) | dict.fromkeys(CHOSEN, AUTO) | changes
    return Train.model_validate(values)


def choose(
    settings: Train, kind: str = "qa", weights: float = 135e6, rows: int = 1_000, length: int = 50, lookup: int = 0
) -> ChosenTrain:
    return choose_settings(settings, Prompt(kind, lookup=lookup), int(weights), rows, rows * length)  # type: ignore[arg-type]


def test_numbers_in_params_are_used_as_they_are() -> None:
    given = {"epochs": 7, "per_device_batch_size": 5, "learning_rate": 0.02, "keep": "best"}
    chosen = choose(train(**given), weights=10e6, rows=100)
    assert {name: getattr(chosen, name) for name in CHOSEN} == given
    assert chosen.weight_decay == SHIPPED["train"]["weight_decay"]


@pytest.mark.parametrize("kind", ["qa", "text"])
def test_fewer_rows_are_seen_more_often_in_smaller_steps(kind: str) -> None:
    choices = [choose(train(), kind, rows=rows) for rows in (1, 32, 300, 1_000, 10_000, 1_000_000)]
    epochs, batches = [one.epochs for one in choices], [one.per_device_batch_size for one in choices]
    assert epochs == sorted(epochs, reverse=True) and epochs[-1] >= 1
    assert batches == sorted(batches) and (batches[0], batches[-1]) == (SMALLEST_BATCH, LARGEST_BATCH)


def test_larger_bases_take_smaller_rates_and_adapters_larger_ones() -> None:
    sizes = (1e6, 10e6, 135e6, 355e6, 1.5e9)
    rates = [choose(train(), weights=size).learning_rate for size in sizes]
    adapters = [choose(train(method="lora"), weights=size).learning_rate for size in sizes]
    assert rates == sorted(rates, reverse=True) and rates[-1] < rates[0]
    assert all(2 * full < lora <= 10 * full * 1.01 for full, lora in zip(rates, adapters, strict=True))


def test_questions_keep_the_last_weights_and_texts_the_best() -> None:
    assert [choose(train(), kind).keep for kind in ("qa", "text")] == ["last", "best"]


def test_the_choice_is_told_in_one_line() -> None:
    chosen = choose(train(epochs=1, per_device_batch_size=8, learning_rate=2e-4), "text")
    assert str(choice_of(chosen)) == "1 epoch at 0.0002, 8 rows a step, best weights kept"


def test_long_rows_make_small_steps_and_looking_up_needs_fewer_epochs() -> None:
    for length in (50, 200, 500):
        batch = choose(train(), rows=10_000, length=length).per_device_batch_size
        assert batch == SMALLEST_BATCH or batch * length <= 1.5 * STEP_TOKENS
    for rows in (40, 300, 1_000, 10_000):
        assert choose(train(), rows=rows, lookup=2).epochs < choose(train(), rows=rows).epochs
