"""What the learning curves say."""

from pathlib import Path

import pytest

from lockstep.training.fit_diagnosis import fit_metrics, verdict
from lockstep.training.learning_curves import Curves, write_curves


def epochs(*validation: float | None) -> list[dict[str, float]]:
    return [
        {"epoch": number, "tokens": 10 * number, "train_loss": 3.0 - number / 10}
        | ({"validation_loss": loss} if loss is not None else {})
        for number, loss in enumerate(validation)
    ]


def curves(*validation: float | None, patience: int = 2) -> Curves:
    made = Curves(patience)
    made.epochs = epochs(*validation)
    return made


@pytest.mark.parametrize(
    ("validation", "best", "said"),
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
def test_the_verdict_names_what_the_curve_shows(validation: list[float | None], best: int, said: str) -> None:
    assert verdict(validation, best) == said


def test_the_figures_are_those_of_the_kept_epoch() -> None:
    metrics = fit_metrics(epochs(4.0, 2.0, 2.5), 1, 1)
    assert list(metrics) == [
        "best_epoch",
        "kept_epoch",
        "train_loss",
        "validation_loss",
        "generalization_gap",
        "verdict",
        "epochs",
    ]
    assert (
        metrics["best_epoch"],
        metrics["train_loss"],
        metrics["validation_loss"],
        metrics["generalization_gap"],
    ) == (
        1,
        2.9,
        2.0,
        -0.9,
    )
    assert metrics["epochs"]["2"] == {"train_loss": 2.8, "validation_loss": 2.5}


def test_without_validation_there_is_no_gap() -> None:
    metrics = fit_metrics(epochs(None, None), 1, 1)
    assert list(metrics) == ["best_epoch", "kept_epoch", "train_loss", "verdict", "epochs"]


def test_the_best_epoch_has_the_lowest_validation_loss_and_the_first_of_equals() -> None:
    assert curves(4.0, 2.0, 2.0, 3.0).best_epoch == 1
    assert curves(None, None, None).best_epoch == 2


@pytest.mark.parametrize(
    ("validation", "patience", "over"),
    [([4.0, 2.0, 2.5], 2, False), ([4.0, 2.0, 2.5, 2.4], 2, True), ([4.0, 2.0, 2.5, 2.4], 0, False), ([4.0], 1, False)],
)
def test_patience_counts_epochs_without_a_better_loss(validation: list[float], patience: int, over: bool) -> None:
    assert curves(*validation, patience=patience).patience_is_over is over


def test_curves_travel_in_a_checkpoint(tmp_path: Path) -> None:
    made = curves(4.0, 2.0)
    made.steps = [{"step": 1, "tokens": 5, "loss": 0.1 + 0.2, "learning_rate": 1e-5}]
    made.write(tmp_path)
    other = Curves(2)
    other.read(tmp_path)
    assert (other.steps, other.epochs) == (made.steps, made.epochs)


def test_curves_become_csv_for_plots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = curves(4.0, 1 / 3)
    made.steps = [{"step": 1, "tokens": 123456, "loss": 2.0, "learning_rate": 0.00005}]
    write_curves(made)
    assert Path("metrics/plots/epochs.csv").read_text() == (
        "epoch,tokens,train_loss,validation_loss\n0,0,3,4\n1,10,2.9,0.333333\n"
    )
    assert Path("metrics/plots/steps.csv").read_text() == "step,tokens,loss,learning_rate\n1,123456,2,5e-05\n"


def test_the_last_epoch_may_be_kept_instead_of_the_best() -> None:
    metrics = fit_metrics(epochs(4.0, 2.0, 2.5), 1, 2)
    assert (metrics["best_epoch"], metrics["kept_epoch"], metrics["validation_loss"]) == (1, 2, 2.5)
    assert metrics["verdict"].startswith("overfitting after epoch 1")
