"""The learning curves: best epoch, early stopping, and their files."""

from pathlib import Path

import pytest
from training_runs import epochs_of

from lockstep.core.atomic_files import read_points
from lockstep.core.errors import LockstepError
from lockstep.core.paths import EPOCH_CURVE
from lockstep.training.learning_curves import Curves, write_curves


def curves_of(*validation: float | None, patience: int = 2) -> Curves:
    points = Curves(patience)
    points.epochs = epochs_of(*validation)
    return points


def test_the_best_epoch_has_the_lowest_validation_loss_and_the_first_of_equals() -> None:
    assert curves_of(4.0, 2.0, 2.0, 3.0).best_epoch == 1
    assert curves_of(None, None, None).best_epoch == 2


@pytest.mark.parametrize(
    ("validation", "patience", "over"),
    [([4.0, 2.0, 2.5], 2, False), ([4.0, 2.0, 2.5, 2.4], 2, True), ([4.0, 2.0, 2.5, 2.4], 0, False), ([4.0], 1, False)],
)
def test_patience_counts_epochs_without_a_better_loss(validation: list[float], patience: int, over: bool) -> None:
    assert curves_of(*validation, patience=patience).patience_is_over is over


def test_curves_travel_in_a_checkpoint(tmp_path: Path) -> None:
    curves = curves_of(4.0, 2.0)
    curves.steps = [{"step": 1, "tokens": 5, "loss": 0.1 + 0.2, "learning_rate": 1e-5}]
    curves.write(tmp_path)
    resumed = Curves(2)
    resumed.read(tmp_path)
    assert (resumed.steps, resumed.epochs) == (curves.steps, curves.epochs)


def test_curves_become_csv_for_plots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    curves = curves_of(4.0, 1 / 3)
    curves.steps = [{"step": 1, "tokens": 123456, "loss": 2.0, "learning_rate": 0.00005}]
    write_curves(curves)
    assert Path("metrics/plots/epochs.csv").read_text() == (
        "epoch,tokens,train_loss,validation_loss\n0,0,3,4\n1,10,2.9,0.333333\n"
    )
    assert Path("metrics/plots/steps.csv").read_text() == "step,tokens,loss,learning_rate\n1,123456,2,5e-05\n"


def test_the_points_of_a_csv_file_are_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_curves(curves_of(4.0, 0.25))
    assert read_points(EPOCH_CURVE, "make train") == epochs_of(4.0, 0.25)
    write_curves(Curves(0))
    assert read_points(EPOCH_CURVE, "make train") == []


@pytest.mark.parametrize("text", ["step,loss\n1,2\n3\n", "step,loss\n1,2,3\n", "step,loss\n1,much\n"])
def test_a_damaged_curve_is_one_clear_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "curve.csv"
    with pytest.raises(LockstepError, match=r"curve\.csv is missing.*`make train`"):
        read_points(path, "make train")
    path.write_text(text)
    with pytest.raises(LockstepError, match=r"curve\.csv .*`make train`"):
        read_points(path, "make train")
