"""The diagnosis of the learning curves: good fit, over- or underfitting."""

import pytest
from training_runs import epochs_of

from lockstep.training.fit_diagnosis import fit_metrics, verdict


@pytest.mark.parametrize(
    ("validation", "best", "sentence"),
    [
        ([4.0, 3.0, 2.0], 2, "underfitting: validation loss was still falling; more epochs would help"),
        ([4.0, 2.0, 1.99], 2, "good fit: validation loss had levelled out"),
        ([4.0, 2.0, 2.03], 1, "good fit: validation loss had levelled out"),
        ([4.0, 2.0, 2.3], 1, "overfitting after epoch 1: validation loss rose again"),
        (
            [4.0, 3.99, 3.98],
            2,
            "nothing learnt: validation loss hardly fell; raise the learning rate or check the data",
        ),
        ([4.0, 5.0, 6.0], 0, "nothing learnt: validation loss hardly fell; raise the learning rate or check the data"),
        ([None, None], 1, "no validation split, so overfitting can't be seen"),
    ],
)
def test_the_verdict_names_what_the_curve_shows(validation: list[float | None], best: int, sentence: str) -> None:
    assert verdict(validation, best) == sentence


def test_the_figures_are_those_of_the_kept_epoch() -> None:
    metrics = fit_metrics(epochs_of(4.0, 2.0, 2.5), 1, 1)
    assert list(metrics) == [
        "best_epoch",
        "kept_epoch",
        "train_loss",
        "validation_loss",
        "generalization_gap",
        "verdict",
        "epochs",
    ]
    assert (metrics["best_epoch"], metrics["train_loss"], metrics["validation_loss"]) == (1, 2.9, 2.0)
    assert metrics["generalization_gap"] == -0.9
    assert metrics["epochs"]["2"] == {"train_loss": 2.8, "validation_loss": 2.5}


def test_without_validation_there_is_no_gap() -> None:
    metrics = fit_metrics(epochs_of(None, None), 1, 1)
    assert list(metrics) == ["best_epoch", "kept_epoch", "train_loss", "verdict", "epochs"]


def test_the_last_epoch_may_be_kept_instead_of_the_best() -> None:
    metrics = fit_metrics(epochs_of(4.0, 2.0, 2.5), 1, 2)
    assert (metrics["best_epoch"], metrics["kept_epoch"], metrics["validation_loss"]) == (1, 2, 2.5)
    assert metrics["verdict"].startswith("overfitting after epoch 1")
