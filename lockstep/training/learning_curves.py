"""The learning curves of a run: what they hold, the best epoch in them, and their files."""

from pathlib import Path

from lockstep.core.atomic_files import read_json, write_json, write_text
from lockstep.core.paths import EPOCH_CURVE, STEP_CURVE

CURVES = "curves.json"


class Curves:
    """Collects the learning curves, the best epoch and when to stop; its state travels in the checkpoint.

    steps: one {step, tokens, loss, learning_rate} per point; epochs: one {epoch, train_loss, validation_loss} each,
    the first before training.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.steps: list[dict[str, float]] = []
        self.epochs: list[dict[str, float]] = []

    @property
    def best_epoch(self) -> int:
        """Index into `epochs` of the lowest validation loss; the last where there is no validation."""
        losses = [epoch.get("validation_loss", 0.0) for epoch in self.epochs]
        if not any(losses):
            return len(self.epochs) - 1
        return min(range(len(losses)), key=lambda index: losses[index])

    @property
    def patience_is_over(self) -> bool:
        """Whether the last `patience` epochs brought no better validation loss."""
        return bool(self.patience) and len(self.epochs) - 1 - self.best_epoch >= self.patience

    def read(self, checkpoint: Path) -> None:
        """Take up the curves where a checkpoint left them."""
        state = read_json(checkpoint / CURVES, "make train")
        self.steps, self.epochs = state["steps"], state["epochs"]

    def write(self, checkpoint: Path) -> None:
        """Lay the curves so far into a checkpoint."""
        write_json(checkpoint / CURVES, {"steps": self.steps, "epochs": self.epochs})


def write_curves(curves: Curves) -> None:
    """Write the curves as CSV files for DVC plots: per epoch and within epochs."""
    for path, points in ((EPOCH_CURVE, curves.epochs), (STEP_CURVE, curves.steps)):
        names = list(points[0]) if points else []
        lines = [",".join(names)] + [",".join(f"{point[name]:.6g}" for name in names) for point in points]
        write_text(path, "\n".join(lines) + "\n")
