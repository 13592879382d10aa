"""The figures of a training run."""

from typing import Literal

import pytest
from shipped_settings import SHIPPED
from training_runs import epochs_of

from lockstep.artifacts.prompt import Prompt
from lockstep.core.settings import Train
from lockstep.modeling.device import Hardware
from lockstep.training.auto_settings import choose_settings
from lockstep.training.learning_curves import Curves
from lockstep.training.results import training_metrics
from lockstep.training.trainable_weights import ModelSize


@pytest.mark.parametrize(("keep", "kept_epoch", "loss"), [("best", 1, 2.0), ("last", 2, 2.5)])
def test_the_losses_are_of_the_kept_epoch_and_the_tokens_of_all(
    keep: Literal["best", "last"], kept_epoch: int, loss: float
) -> None:
    curves = Curves(0)
    curves.epochs = epochs_of(4.0, 2.0, 2.5)
    train = Train.model_validate(SHIPPED["train"] | {"keep": keep, "epochs": 3})
    settings = choose_settings(train, Prompt(), 100, 64, 640)
    metrics = training_metrics(curves, settings, ModelSize(100, 10), 12, Hardware("cpu", "fp32", 2))
    assert (metrics["best_epoch"], metrics["kept_epoch"], metrics["validation_loss"]) == (1, kept_epoch, loss)
    assert metrics["settings"]["epochs"] == 3 and metrics["settings"]["keep"] == keep
    assert (metrics["parameters"], metrics["trained_parameters"]) == (100, 10)
    assert (metrics["tokens"], metrics["steps"]) == (20, 12)
    assert (metrics["device"], metrics["precision"], metrics["threads"]) == ("cpu", "fp32", 2)
