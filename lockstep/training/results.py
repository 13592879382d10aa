"""The figures of a training run for metrics/train.json."""

from dataclasses import asdict
from typing import Any

from lockstep.modeling.device import Hardware
from lockstep.training.auto_settings import ChosenTrain, choice_of
from lockstep.training.fit_diagnosis import fit_metrics
from lockstep.training.learning_curves import Curves
from lockstep.training.trainable_weights import ModelSize


def training_metrics(
    curves: Curves, settings: ChosenTrain, size: ModelSize, steps: int, hardware: Hardware
) -> dict[str, Any]:
    """The fit of the kept epoch's weights, the size of the model, what training it took, and its chosen settings.

    steps: optimizer steps until the end of training.
    """
    last = len(curves.epochs) - 1
    metrics = fit_metrics(curves.epochs, curves.best_epoch, curves.best_epoch if settings.keep == "best" else last)
    metrics |= asdict(size) | {"tokens": int(curves.epochs[last]["tokens"]), "steps": steps}
    return metrics | {"settings": asdict(choice_of(settings))} | asdict(hardware)
