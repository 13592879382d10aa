"""The training loop: Transformers' Trainer with our batches, our loss and our checkpoints."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import PreTrainedModel, PrinterCallback, Trainer, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME

from lockstep.artifacts.row_store import read_blocks
from lockstep.core.atomic_files import read_json, write_json, writing
from lockstep.core.checksums import is_intact
from lockstep.core.console import say
from lockstep.core.errors import LockstepError
from lockstep.core.paths import CHECKPOINTS
from lockstep.core.settings import Train
from lockstep.modeling.collate import collate
from lockstep.modeling.device import Hardware
from lockstep.modeling.distributed import PATIENCE, Processes
from lockstep.modeling.scoring import score_rows
from lockstep.training.callbacks import Curve, Progress, Saver
from lockstep.training.checkpoints import (
    StopRequest,
    checkpoint_step,
    keep_latest,
    latest_whole,
    link_file,
    seal_checkpoint,
)
from lockstep.training.distributed_sampler import SharedBatches, SharedLoader
from lockstep.training.fast_layers import quicken
from lockstep.training.learning_curves import Curves
from lockstep.training.step import TrainingStep, choose_step
from lockstep.training.trainable_weights import gather_weights, load_weights, put_weights

CHECKPOINTS_KEPT = 2  # the one before stays until the next is whole
COUNTERS = "counters.json"
BEST = "best.safetensors"  # weights of the epoch with the lowest validation loss


class SumLossTrainer(Trainer):
    """Trainer whose loss is the sum over the target tokens of a step, divided once by their number."""

    def __init__(
        self,
        *,
        step: TrainingStep,
        hardware: Hardware,
        pad_id: int,
        curves: Curves,
        processes: Processes,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.processes = processes
        self.model_accepts_loss_kwargs = True  # have Trainer count a step's targets and not divide again
        self.step = step
        self.hardware = hardware
        self.pad_id = pad_id
        self.nll: Any = torch.zeros((), dtype=torch.float64 if hardware.device != "mps" else torch.float32)
        # Counted by this process alone:
        self.seen_targets = 0  # targets since the last point of the curve
        self.tokens = 0  # trained on so far, before interruptions too
        self.curves = curves

    def compute_loss(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None, **_: Any) -> Any:
        """Mean -ln p per target token of the whole optimizer step, scalar tensor."""
        nll = self.step.loss(model, inputs)
        with torch.no_grad():
            # Kept on the device, so that no step waits for the CPU.
            self.nll = self.nll.to(nll.device) + nll.detach()
            self.seen_targets += inputs["targets"].numel()
        self.tokens += inputs["tokens"]
        # Processes average their gradients; num_items_in_batch counts the targets of all of them.
        return nll / num_items_in_batch * self.accelerator.num_processes

    def _get_num_items_in_batch(self, batch_samples: list, device: torch.device) -> torch.Tensor | None:
        """Targets of one optimizer step, over its batches and all processes; Trainer asks for it."""
        if not batch_samples:
            return None
        # Filled in on the device: a tensor copied there would have the CPU wait for it.
        count = torch.full((), sum(batch["targets"].numel() for batch in batch_samples), device=device)
        return self.accelerator.gather(count).sum() if self.accelerator.num_processes > 1 else count

    @property
    def all_tokens(self) -> int:
        """Tokens that all processes have trained on so far; all of them have to ask."""
        return int(self.processes.sums(self.tokens))

    def take_point(self) -> dict[str, float]:
        """Tokens so far, mean training loss per target since the last call, and learning rate, over all processes.

        Raises LockstepError when the loss is not a number.
        """
        nll, targets, tokens = self.processes.sums([float(self.nll), self.seen_targets, self.tokens]).tolist()
        loss = nll / max(targets, 1)
        _require_number(loss)
        self.nll.zero_()
        self.seen_targets = 0
        return {"tokens": int(tokens), "loss": loss, "learning_rate": self._get_learning_rate()}

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Score the validation rows, and as many train rows the same way, without dropout."""
        unwrapped = self.accelerator.unwrap_model(self.model)
        metrics = {
            f"{name}_loss": score_rows(unwrapped, rows, self.hardware, self.pad_id, processes=self.processes).loss
            for name, rows in self.eval_dataset.items()
            if len(rows)
        }
        control: TrainerControl = self.control  # type: ignore[has-type]
        self.control = self.callback_handler.on_evaluate(self.args, self.state, control, metrics)
        return metrics

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        _require_number(float(self.nll))  # nothing worth going on from
        with writing(CHECKPOINTS):
            super()._save_checkpoint(model, trial)
        run = Path(self.args.output_dir)
        checkpoint = run / f"checkpoint-{self.state.global_step}"
        counters = {"nll": float(self.nll), "targets": self.seen_targets, "tokens": self.tokens}
        of_all = self.processes.gathered(counters)  # and all have written their part
        if self.processes.first:
            write_json(checkpoint / COUNTERS, of_all)
            self.curves.write(checkpoint)
            if (run / BEST).exists():
                link_file(run / BEST, checkpoint / BEST)
            seal_checkpoint(checkpoint)
            keep_latest(run, CHECKPOINTS_KEPT)
        self.processes.wait()

    def resume(self, checkpoint: Path) -> None:
        """Take up the counters, curves and best weights of a checkpoint; Trainer itself takes up the rest."""
        counters = read_json(checkpoint / COUNTERS, "make train")[self.processes.number]
        self.nll.fill_(counters["nll"])
        self.seen_targets = counters["targets"]
        self.tokens = counters["tokens"]
        self.curves.read(checkpoint)
        # Those of the run are of a later epoch when it was killed between the evaluation and the save that follows.
        if self.processes.first:
            best = Path(self.args.output_dir) / BEST
            best.unlink(missing_ok=True)
            if (checkpoint / BEST).exists():
                link_file(checkpoint / BEST, best)

    def get_train_dataloader(self) -> DataLoader:
        """Batches of rows; among several processes, this one's share of them."""
        if self.processes.count == 1:
            return super().get_train_dataloader()
        lengths = np.concatenate([block.lengths for block in read_blocks(self.train_dataset)])
        batches = SharedBatches(lengths, self._train_batch_size, self.args.seed, self.processes)
        pinned = self.args.dataloader_pin_memory
        return SharedLoader(self.train_dataset, batches, self.data_collator, pin_memory=pinned)


def _require_number(loss: float) -> None:
    if not math.isfinite(loss):
        raise LockstepError("The training loss is not a number any more.", "Lower train.learning_rate.")


def disk_needed(weights: int, trained: int) -> int:
    """Bytes that a run takes: trained weights and their two moments in each checkpoint and in one being written, the
    best of them, and the model at the end."""
    return 4 * (trained * (3 * (CHECKPOINTS_KEPT + 1) + 1) + weights)


def training_arguments(settings: Train, hardware: Hardware, seed: int, folder: Path) -> TrainingArguments:
    """Our settings in Trainer's words. folder: where checkpoints go."""
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.per_device_batch_size,
        gradient_accumulation_steps=settings.gradient_accumulation_steps,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.lr_schedule if settings.lr_schedule != "constant" else "constant_with_warmup",
        warmup_steps=settings.warmup_ratio,  # below 1: a fraction of all steps
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        optim="adamw_torch_fused",
        bf16=hardware.precision == "bf16",
        use_cpu=hardware.device == "cpu",
        torch_compile=settings.compile,
        activation_checkpointing=settings.gradient_checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False},
        seed=seed,
        data_seed=seed,
        eval_strategy="epoch",
        save_strategy="epoch",
        logging_strategy="no",
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to=[],
        remove_unused_columns=False,
        dataloader_pin_memory=hardware.device == "cuda",
        accelerator_config={"non_blocking": hardware.device == "cuda"},
        # Not because any is unused: without it, gradients change places in their buckets after the first step, and with
        # them the order in which more than two processes add them up; a resumed run would end with other last bits.
        ddp_find_unused_parameters=torch.are_deterministic_algorithms_enabled(),
        ddp_timeout=int(PATIENCE.total_seconds()),
    )
    # One process uses one GPU: where it sees more, Trainer would spread its batches over them by threads.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def make_trainer(
    model: PreTrainedModel,
    splits: dict[str, Dataset],
    settings: Train,
    hardware: Hardware,
    pad_id: int,
    seed: int,
    folder: Path,
    stop: StopRequest,
    processes: Processes,
) -> SumLossTrainer:
    """A trainer ready to run or resume; it fills `trainer.curves`.

    splits: 'train' and 'validation'; without validation rows there is no best epoch and no early stopping.
    """
    train, validation = splits["train"], splits["validation"]
    curves = Curves(settings.early_stopping_patience if len(validation) else 0)
    scored = {"train": train.select(range(min(len(train), max(len(validation), 100)))), "validation": validation}
    # The first process's choice: where a model is to lie in shards, it alone has loaded its weights by now.
    step = processes.told(choose_step(model, train[0], hardware, settings.packing))
    quicken(model, hardware.device)
    trainer = SumLossTrainer(
        step=step,
        hardware=hardware,
        pad_id=pad_id,
        curves=curves,
        processes=processes,
        model=model,
        args=training_arguments(settings, hardware, seed, folder),
        train_dataset=train,
        eval_dataset=scored,
        data_collator=lambda rows: collate(rows, pad_id, step.layout),
    )
    trainer.add_callback(Curve(curves, trainer, folder / BEST if len(validation) and settings.keep == "best" else None))
    trainer.add_callback(Progress(trainer))
    trainer.add_callback(Saver(settings.checkpoint_minutes, stop, processes))
    trainer.remove_callback(PrinterCallback)
    if processes.number:
        torch.manual_seed(seed + processes.number)  # each drops out activations of its own
    return trainer


def run(trainer: SumLossTrainer) -> None:
    """Train to the end from the latest whole checkpoint of this run, if there is one.

    Raises Stopped after a requested stop, once a checkpoint is written; LockstepError when a GPU's memory is full.
    """
    folder = Path(trainer.args.output_dir)
    checkpoint = trainer.processes.told(latest_whole(folder) if trainer.processes.first else None)
    if checkpoint is not None:
        trainer.resume(checkpoint)
        say("train", f"goes on from the checkpoint of step {checkpoint_step(checkpoint)}")
    if checkpoint is None or not trainer.curves.patience_is_over:
        try:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        except torch.OutOfMemoryError:
            raise LockstepError(
                "The memory of the GPU is full.",
                "Halve train.per_device_batch_size and double train.gradient_accumulation_steps, set "
                "train.gradient_checkpointing to true or train.method to lora, or see docs/scaling.md.",
            ) from None
    else:
        trainer.state = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))
        trainer._load_from_checkpoint(str(checkpoint))


def finished_model(trainer: SumLossTrainer, build: Callable[[], Any]) -> Any | None:
    """What run trained, with the best weights put back where they are kept; None in all processes but the first.

    build: makes the model anew, to take up weights that lie in shards. Raises LockstepError when the disk gives back
    other best weights than were written.
    """
    model = trainer.accelerator.unwrap_model(trainer.model)
    gathered = gather_weights(model) if trainer.is_fsdp_enabled else {}
    if not trainer.processes.first:
        return None
    if gathered:
        model = build()
        put_weights(model, gathered)
    folder = Path(trainer.args.output_dir)
    if (folder / BEST).exists():
        last = folder / f"checkpoint-{trainer.state.global_step}"
        if not is_intact(last):
            raise LockstepError(f"{last} is damaged.", "Run again: training goes on from what is whole.")
        put_weights(model, load_weights(last / BEST))
    return model
