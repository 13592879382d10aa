"""What the settings `auto` of training stand for, from the size of the base, the kind of data and the number of rows.

docs/bases.md shows the sweep that these numbers come from.
"""

import math
from dataclasses import dataclass
from typing import Literal

from lockstep.artifacts.prompt import Prompt
from lockstep.core.settings import Train

AUTO = "auto"
REFERENCE_WEIGHTS = 135e6  # size of the model at which RATE was found;
RATE = 3e-4  # other sizes take it times the root of the ratio,
HIGHEST_RATE = 5e-4  # never more than this
LOOKUP_FACTOR = 1 / 3  # a model that looks answers up takes a third: it need not know them by heart
LORA_FACTOR = 10  # adapters take a rate so many times higher,
HIGHEST_LORA_RATE = 2e-3  # never more than this
STEPS_PER_EPOCH = 32  # about as many are wanted, with
SMALLEST_BATCH, LARGEST_BATCH = 4, 32  # rows in a step at least and at most,
STEP_TOKENS = 1536  # and tokens at most, for they take memory
QUESTION_EPOCHS = ((100, 12), (400, 8), (2_000, 5), (20_000, 3), (100_000, 2))  # up to so many rows, so many epochs
LOOKUP_EPOCHS = ((100, 6), (400, 3), (2_000, 1))  # where the answers can be looked up
TEXT_EPOCHS = ((100, 6), (400, 4), (20_000, 3))
FEWEST_EPOCHS = 1  # for more rows than these
SMALL_BASE = 50e6  # weights; a smaller base learns its rows more slowly, and takes
SMALL_BASE_FACTOR = 1.6  # times as many epochs


class ChosenTrain(Train):
    """`train` with a value for each setting that was auto."""

    epochs: int
    per_device_batch_size: int
    learning_rate: float
    keep: Literal["best", "last"]


@dataclass(frozen=True, slots=True)
class Choice:
    """The settings that `auto` can stand for, as they are used."""

    epochs: int
    per_device_batch_size: int
    learning_rate: float
    keep: Literal["best", "last"]

    def __str__(self) -> str:
        epochs = f"{self.epochs} epoch{'s' if self.epochs > 1 else ''}"
        kept = "best" if self.keep == "best" else "last"
        return f"{epochs} at {self.learning_rate:g}, {self.per_device_batch_size} rows a step, {kept} weights kept"


def choose_settings(train: Train, prompt: Prompt, weights: int, rows: int, tokens: int) -> ChosenTrain:
    """`train` with a value in place of each auto.

    weights: of the base. rows, tokens: of the train split.
    """
    chosen = {
        "epochs": _epochs(prompt, weights, rows),
        "per_device_batch_size": _batch(rows, tokens / max(rows, 1)),
        "learning_rate": _rate(train.method, weights, prompt.lookup > 0),
        "keep": "last" if prompt.kind == "qa" else "best",
    }
    values = train.model_dump()
    return ChosenTrain(**values | {name: value for name, value in chosen.items() if values[name] == AUTO})


def choice_of(train: ChosenTrain) -> Choice:
    """What was chosen."""
    return Choice(train.epochs, train.per_device_batch_size, train.learning_rate, train.keep)


def _epochs(prompt: Prompt, weights: int, rows: int) -> int:
    table = LOOKUP_EPOCHS if prompt.lookup else QUESTION_EPOCHS if prompt.kind == "qa" else TEXT_EPOCHS
    epochs = next((epochs for limit, epochs in table if rows <= limit), FEWEST_EPOCHS)
    return math.ceil(epochs * SMALL_BASE_FACTOR) if weights < SMALL_BASE and prompt.kind == "qa" else epochs


def _batch(rows: int, row_tokens: float) -> int:
    """The power of two next to rows / STEPS_PER_EPOCH, of which STEP_TOKENS have room."""
    wanted = min(rows / STEPS_PER_EPOCH, STEP_TOKENS / max(row_tokens, 1))
    return min(max(2 ** round(math.log2(max(wanted, 1))), SMALLEST_BATCH), LARGEST_BATCH)


def _rate(method: str, weights: int, looks_up: bool) -> float:
    """The rate at this size, with two significant digits."""
    rate = min(RATE * math.sqrt(REFERENCE_WEIGHTS / weights), HIGHEST_RATE) * (LOOKUP_FACTOR if looks_up else 1)
    rate = min(rate * LORA_FACTOR, HIGHEST_LORA_RATE) if method == "lora" else rate
    return float(f"{rate:.1e}")
