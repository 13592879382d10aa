"""The learning curves of a run: their points, the best epoch, and their files."""

from pathlib import Path

from lockstep.core.atomic_files import read_json, write_json, write_points
from lockstep.core.paths import EPOCH_CURVE, STEP_CURVE

CURVES = "curves.json"


class Curves:
    """The points of the learning curves; they decide the best epoch and early stopping.

    steps: {step, tokens, loss, learning_rate} per point within epochs. epochs: {epoch, tokens, train_loss,
    validation_loss} per evaluation, the first before training. patience: epochs without improvement after which
    training ends; 0 means never.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.steps: list[dict[str, float]] = []
        self.epochs: list[dict[str, float]] = []

    @property
    def best_epoch(self) -> int:
        """Index into `epochs` of the lowest validation loss; the last index where there is no validation."""
        losses = [epoch.get("validation_loss", 0.0) for epoch in self.epochs]
        if not any(losses):
            return len(self.epochs) - 1
        return min(range(len(losses)), key=lambda index: losses[index])

    @property
    def patience_is_over(self) -> bool:
        """Whether the validation loss has not improved in the last `patience` epochs."""
        return bool(self.patience) and len(self.epochs) - 1 - self.best_epoch >= self.patience

    def read(self, checkpoint: Path) -> None:
        """Continue the curves of a checkpoint. Raises LockstepError when its file is missing or broken."""
        state = read_json(checkpoint / CURVES, "make train")
        self.steps, self.epochs = state["steps"], state["epochs"]

    def write(self, checkpoint: Path) -> None:
        """Write the curves into a checkpoint folder."""
        write_json(checkpoint / CURVES, {"steps": self.steps, "epochs": self.epochs})


def write_curves(curves: Curves) -> None:
    """Write the curves as CSV files for DVC plots: per epoch and within epochs."""
    write_points(EPOCH_CURVE, curves.epochs)
    write_points(STEP_CURVE, curves.steps)
