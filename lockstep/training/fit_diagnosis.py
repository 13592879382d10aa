"""What the learning curves say: the best epoch, the gap between train and validation, and a verdict."""

from typing import Any

from lockstep.core.atomic_files import figure

NOTHING_LEARNT = 0.01  # relative fall of validation loss below which nothing was learnt
STILL_FALLING = 0.02  # relative fall in the last epoch from which more epochs would help
RISEN = 0.02  # relative rise after the best epoch from which we speak of overfitting

NO_VALIDATION = "no validation split, so overfitting can't be seen"
DID_NOT_LEARN = "nothing learnt: validation loss hardly fell; raise the learning rate or check the data"
OVERFITTING = "overfitting after epoch {best}: validation loss rose again"
UNDERFITTING = "underfitting: validation loss was still falling; more epochs would help"
GOOD_FIT = "good fit: validation loss had levelled out"


def fit_metrics(epochs: list[dict[str, float]], best: int, kept: int) -> dict[str, Any]:
    """Figures of metrics/train.json from per-epoch losses (see curves.Curves).

    best, kept: indices of the epoch with the lowest validation loss and of the one whose weights the model has.
    """
    chosen = epochs[kept]
    metrics: dict[str, Any] = {
        "best_epoch": int(epochs[best]["epoch"]),
        "kept_epoch": int(chosen["epoch"]),
        "train_loss": figure(chosen["train_loss"]),
    }
    if "validation_loss" in chosen:
        metrics["validation_loss"] = figure(chosen["validation_loss"])
        metrics["generalization_gap"] = figure(chosen["validation_loss"] - chosen["train_loss"])
    metrics["verdict"] = verdict([epoch.get("validation_loss") for epoch in epochs], best)
    metrics["epochs"] = {
        str(int(epoch["epoch"])): {name: figure(value) for name, value in epoch.items() if name.endswith("_loss")}
        for epoch in epochs
    }
    return metrics


def verdict(validation: list[float | None], best: int) -> str:
    """One sentence on over- and underfitting. validation: loss before training and after each epoch."""
    losses = [loss for loss in validation if loss is not None]
    if len(losses) < 2:
        return NO_VALIDATION
    if losses[best] > losses[0] * (1 - NOTHING_LEARNT):
        return DID_NOT_LEARN
    if losses[-1] > losses[best] * (1 + RISEN):
        return OVERFITTING.format(best=best)
    if best == len(losses) - 1 and losses[-1] < losses[-2] * (1 - STILL_FALLING):
        return UNDERFITTING
    return GOOD_FIT
