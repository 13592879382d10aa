"""Diagnosis of the learning curves: best epoch, gap between train and validation loss, and a verdict."""

from typing import Any

from lockstep.core.atomic_files import figure

MIN_IMPROVEMENT = 0.01  # relative fall of validation loss below which nothing was learnt
STILL_FALLING = 0.02  # relative fall in the last epoch from which more epochs would help
OVERFITTING_RISE = 0.02  # relative rise after the best epoch that counts as overfitting

NO_VALIDATION = "no validation split, so overfitting can't be seen"
DID_NOT_LEARN = "nothing learnt: validation loss hardly fell; raise the learning rate or check the data"
OVERFITTING = "overfitting after epoch {best}: validation loss rose again"
UNDERFITTING = "underfitting: validation loss was still falling; more epochs would help"
ONE_EPOCH = "one epoch: validation loss fell from {before:.2f} to {after:.2f}"  # no second point tells where it goes
GOOD_FIT = "good fit: validation loss had levelled out"


def fit_metrics(epochs: list[dict[str, float]], best: int, kept: int) -> dict[str, Any]:
    """The metrics of metrics/train.json that follow from per-epoch losses (see learning_curves.Curves).

    best: index of the epoch with the lowest validation loss. kept: index of the epoch whose weights the model has.
    """
    kept_epoch = epochs[kept]
    metrics: dict[str, Any] = {
        "best_epoch": int(epochs[best]["epoch"]),
        "kept_epoch": int(kept_epoch["epoch"]),
        "train_loss": figure(kept_epoch["train_loss"]),
    }
    if "validation_loss" in kept_epoch:
        metrics["validation_loss"] = figure(kept_epoch["validation_loss"])
        metrics["generalization_gap"] = figure(kept_epoch["validation_loss"] - kept_epoch["train_loss"])
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
    if losses[best] > losses[0] * (1 - MIN_IMPROVEMENT):
        return DID_NOT_LEARN
    if len(losses) == 2:
        return ONE_EPOCH.format(before=losses[0], after=losses[1])
    if losses[-1] > losses[best] * (1 + OVERFITTING_RISE):
        return OVERFITTING.format(best=best)
    if best == len(losses) - 1 and losses[-1] < losses[-2] * (1 - STILL_FALLING):
        return UNDERFITTING
    return GOOD_FIT
