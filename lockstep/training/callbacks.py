"""Callbacks of the training loop, one job each: curves, best weights, early stopping, progress line, checkpoints, stop.

Trainer calls them in the order in which they were added, and some rely on it; see trainer.make_trainer.
"""

import time
from typing import Any

from accelerate.utils import extract_model_from_parallel
from transformers import TrainerCallback, TrainerControl, TrainerState

from lockstep.core.atomic_files import writing
from lockstep.core.console import ProgressLine
from lockstep.core.errors import Stopped
from lockstep.core.paths import CHECKPOINTS
from lockstep.modeling.distributed import ProcessGroup
from lockstep.modeling.stopping import StopRequest
from lockstep.training.checkpoints import finish_checkpoint, keep_latest
from lockstep.training.learning_curves import Curves
from lockstep.training.run_state import RunState
from lockstep.training.trainable_weights import save_weights

CURVE_POINTS = 100  # points of the learning curve within a run
CHECKPOINTS_KEPT = 2  # the previous one stays until the next is complete


class CurveRecorder(TrainerCallback):
    """Adds points to the learning curves: training loss within an epoch, evaluation results after it."""

    def __init__(self, run_state: RunState) -> None:
        self.run_state = run_state

    def on_step_end(
        self, args: Any, state: TrainerState, control: TrainerControl, lr_scheduler: Any = None, **_: Any
    ) -> None:
        if state.global_step % max(1, state.max_steps // CURVE_POINTS) == 0 or state.global_step == state.max_steps:
            loss, tokens = self.run_state.meter.take_mean(self.run_state.processes)
            learning_rate = float(lr_scheduler.get_last_lr()[0])
            point = {"step": state.global_step, "tokens": tokens, "loss": loss, "learning_rate": learning_rate}
            self.run_state.curves.steps.append(point)

    def on_evaluate(self, args: Any, state: TrainerState, control: TrainerControl, metrics: dict, **_: Any) -> None:
        tokens = int(self.run_state.processes.all_reduce_sum(self.run_state.meter.tokens))
        self.run_state.curves.epochs.append({"epoch": round(state.epoch or 0), "tokens": tokens, **metrics})


class BestWeights(TrainerCallback):
    """Saves the trained weights whenever the epoch just evaluated is the best so far. Comes after CurveRecorder."""

    def __init__(self, run_state: RunState) -> None:
        self.run_state = run_state

    def on_evaluate(self, args: Any, state: TrainerState, control: TrainerControl, model: Any = None, **_: Any) -> None:
        curves = self.run_state.curves
        if curves.best_epoch == len(curves.epochs) - 1:
            unwrapped = extract_model_from_parallel(model)
            with writing(CHECKPOINTS):
                save_weights(unwrapped, self.run_state.best_weights, writing=self.run_state.processes.is_main)


class EarlyStopping(TrainerCallback):
    """Ends training when the validation loss has not improved for `patience` epochs. Comes after CurveRecorder."""

    def __init__(self, curves: Curves) -> None:
        self.curves = curves

    def on_evaluate(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self.curves.patience_is_over:
            control.should_training_stop = True


class Progress(TrainerCallback):
    """Shows the progress line: epoch, validation loss, tokens per second."""

    def __init__(self, run_state: RunState) -> None:
        self.run_state = run_state
        self.line: ProgressLine | None = None

    def on_epoch_begin(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self.line is None:  # not on_train_begin: the evaluation that follows it is no training time
            self.start_time, self.start_tokens = time.monotonic(), self.run_state.meter.tokens
            self.line = ProgressLine("train", state.max_steps, state.global_step)

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        assert self.line is not None
        # An estimate for all processes: each trains on about as many tokens.
        tokens = (self.run_state.meter.tokens - self.start_tokens) * self.run_state.processes.world_size
        tokens_per_second = tokens / (time.monotonic() - self.start_time)
        loss = self.run_state.curves.epochs[-1].get("validation_loss")
        validation = f"validation loss {loss:.3f}, " if loss is not None else ""
        epoch = f"epoch {state.epoch:.1f} of {state.num_train_epochs}"
        self.line.advance(state.global_step, f"{epoch}, {validation}{tokens_per_second:,.0f} tokens/s,")

    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self.line is not None:
            self.line.clear()


class CheckpointFinisher(TrainerCallback):
    """Completes the checkpoint that Trainer has written: adds the run's own state and a manifest, removes old ones.

    A checkpoint without a manifest is never resumed from; the next start removes it (see checkpoints.latest_intact).
    """

    def __init__(self, run_state: RunState) -> None:
        self.run_state = run_state

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Raises LockstepError when the loss is not finite or a file can't be written; there is no manifest then."""
        folder, processes = self.run_state.folder, self.run_state.processes
        checkpoint = folder / f"checkpoint-{state.global_step}"
        with writing(CHECKPOINTS):
            self.run_state.save(checkpoint)
            if processes.is_main:
                finish_checkpoint(checkpoint)
                keep_latest(folder, CHECKPOINTS_KEPT)
        processes.barrier()  # no process may go on, and perhaps end, before the manifest is on disk


class SaveAndStop(TrainerCallback):
    """Requests a checkpoint every few minutes and on a stop request; once that last one is saved, raises Stopped.

    All processes save, and stop, after the same step: when the first one's interval is over, or any of them has a stop
    request.
    Comes after CheckpointFinisher, as training may end only once the checkpoint is complete.
    """

    def __init__(self, minutes: float, stop: StopRequest, processes: ProcessGroup) -> None:
        self.interval = minutes * 60  # seconds
        self.stop = stop
        self.processes = processes
        self.last_save = time.monotonic()

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        # The epoch's last step is saved after the evaluation that follows: a checkpoint between them would lose that.
        last_of_epoch = state.global_step % (state.max_steps // state.num_train_epochs) == 0
        due = self.processes.is_main and time.monotonic() - self.last_save > self.interval
        if not last_of_epoch and self.processes.any_rank(bool(self.stop.reason) or due):
            control.should_save = True

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Raises Stopped when any process has a stop request."""
        self.last_save = time.monotonic()
        if reasons := list(filter(None, self.processes.all_gather(self.stop.reason))):
            raise Stopped(
                f"{reasons[0]}; saved at step {state.global_step} of {state.max_steps}, the next run goes on from there"
            )
