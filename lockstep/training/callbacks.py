"""What happens beside the steps of a training run: its curves, its moving line, its saves."""

import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState

from lockstep.core.console import ProgressLine
from lockstep.core.errors import Stopped
from lockstep.modeling.distributed import Processes
from lockstep.training.checkpoints import StopRequest
from lockstep.training.learning_curves import Curves
from lockstep.training.trainable_weights import save_weights

CURVE_POINTS = 100  # points of the learning curve inside a run


class Curve(TrainerCallback):
    """Feeds Curves from the running trainer."""

    def __init__(self, curves: Curves, trainer: Any, best: Path | None) -> None:
        self.curves, self.trainer, self.best = curves, trainer, best

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if not self.curves.epochs:
            self.trainer.evaluate()

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.global_step % max(1, state.max_steps // CURVE_POINTS) == 0 or state.global_step == state.max_steps:
            self.curves.steps.append({"step": state.global_step, **self.trainer.take_point()})

    def on_evaluate(self, args: Any, state: TrainerState, control: TrainerControl, metrics: dict, **_: Any) -> None:
        self.curves.epochs.append({"epoch": round(state.epoch or 0), "tokens": self.trainer.all_tokens, **metrics})
        if self.best is not None and self.curves.best_epoch == len(self.curves.epochs) - 1:
            model = self.trainer.accelerator.unwrap_model(self.trainer.model)
            save_weights(model, self.best, writing=self.trainer.processes.first)
        if self.curves.patience_is_over:
            control.should_training_stop = True


class Progress(TrainerCallback):
    """The one moving line."""

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.began, self.tokens = time.monotonic(), self.trainer.tokens
        self.line = ProgressLine("train", state.max_steps, state.global_step)

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        tokens = (self.trainer.tokens - self.tokens) * self.trainer.processes.count  # the others have about as many
        pace = tokens / (time.monotonic() - self.began)
        loss = self.trainer.curves.epochs[-1].get("validation_loss")
        shown = f"validation loss {loss:.3f}, " if loss is not None else ""
        epoch = f"epoch {state.epoch:.1f} of {state.num_train_epochs}"
        self.line.update(state.global_step, f"{epoch}, {shown}{pace:,.0f} tokens/s,")

    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.line.clear()


class Saver(TrainerCallback):
    """Saves every few minutes and when asked to stop; after a stop's save it ends training with Stopped.

    All processes save, and stop, after the same step: when the first one's minutes are over, or any is asked to stop.
    """

    def __init__(self, minutes: float, stop: StopRequest, processes: Processes) -> None:
        self.seconds = minutes * 60
        self.stop = stop
        self.processes = processes
        self.saved = time.monotonic()

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        # The epoch's last step is saved after the evaluation that follows: a checkpoint between them would lose that.
        last_of_epoch = state.global_step % (state.max_steps // state.num_train_epochs) == 0
        due = self.processes.first and time.monotonic() - self.saved > self.seconds
        if not last_of_epoch and self.processes.any_says(bool(self.stop.reason) or due):
            control.should_save = True

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.saved = time.monotonic()
        if reasons := list(filter(None, self.processes.gathered(self.stop.reason))):
            raise Stopped(
                f"{reasons[0]}; saved at step {state.global_step} of {state.max_steps}, the next run goes on from there"
            )
