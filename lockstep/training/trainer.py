"""The training loop: Transformers' Trainer with our batches, loss and checkpoints, through its public hooks only.

Trainer runs the epochs, accumulates gradients, steps optimizer and schedule, and writes and loads checkpoints. We give
it the loss (compute_loss, get_batch_samples), the evaluation, each process's batches, and the callbacks.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import PreTrainedModel, PrinterCallback, Trainer, TrainerControl, TrainingArguments

from lockstep.artifacts.row_store import read_blocks
from lockstep.core.atomic_files import writing
from lockstep.core.checksums import is_intact
from lockstep.core.console import say
from lockstep.core.errors import LockstepError
from lockstep.core.paths import CHECKPOINTS
from lockstep.modeling.collate import collate
from lockstep.modeling.device import Hardware
from lockstep.modeling.distributed import SINGLE_PROCESS, TIMEOUT, ProcessGroup
from lockstep.modeling.scoring import score_rows
from lockstep.modeling.stopping import StopRequest
from lockstep.training.auto_settings import ChosenTrain
from lockstep.training.callbacks import (
    CHECKPOINTS_KEPT,
    BestWeights,
    CheckpointFinisher,
    CurveRecorder,
    EarlyStopping,
    Progress,
    SaveAndStop,
)
from lockstep.training.checkpoints import checkpoint_step, latest_intact
from lockstep.training.distributed_sampler import DistributedBatchSampler, DistributedLoader
from lockstep.training.fast_layers import replace_layers
from lockstep.training.learning_curves import Curves
from lockstep.training.lora import merge_adapters
from lockstep.training.run_state import BEST, LossMeter, RunState
from lockstep.training.step import TrainingStep, choose_step
from lockstep.training.trainable_weights import ModelSize, gather_weights, load_weights, put_weights


@dataclass(frozen=True, slots=True)
class TrainingSetup:
    """The settings and surroundings of a training run.

    settings: the section `train` of params.yaml. pad_id: the padding token. folder: where checkpoints go.
    """

    settings: ChosenTrain
    hardware: Hardware
    pad_id: int
    seed: int
    folder: Path
    processes: ProcessGroup = SINGLE_PROCESS


class OneGpuArguments(TrainingArguments):
    """TrainingArguments of a process that uses at most one GPU: where it sees more, Trainer would spread its batches
    over them with threads."""

    @property
    def n_gpu(self) -> int:
        return min(super().n_gpu, 1)


class SumLossTrainer(Trainer):
    """Trainer whose loss is the sum over the target tokens of an optimizer step, divided once by their number.

    That number covers all accumulated batches and all processes, so the loss does not depend on how rows are split up.
    """

    loss_is_scaled_for_ga = True  # for Trainer: the loss needs no division by the number of accumulated batches

    def __init__(self, setup: TrainingSetup, step: TrainingStep, run_state: RunState, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.setup = setup
        self.step = step
        self.run_state = run_state

    def get_batch_samples(
        self, epoch_iterator: Iterator[dict[str, Any]], num_batches: int, device: torch.device
    ) -> tuple[list[dict[str, Any]], torch.Tensor | None]:
        """The batches of one optimizer step, and the number of their targets over all processes, scalar tensor.

        Trainer itself would count `labels`, without the first of each row for models that it knows to shift them.
        """
        batches = list(islice(epoch_iterator, num_batches))
        if not batches:
            return batches, None
        # Filled in on the device: a tensor copied there would have the CPU wait for it.
        count = torch.full((), sum(batch["targets"].numel() for batch in batches), device=device)
        return batches, self.accelerator.gather(count).sum() if self.accelerator.num_processes > 1 else count

    def compute_loss(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None, **_: Any) -> Any:
        """This batch's share of the step's mean -ln p per target token, scalar tensor."""
        nll = self.step.loss(model, inputs)
        self.run_state.meter.add(nll, inputs["targets"].numel(), inputs["tokens"])
        # The processes average their gradients; num_items_in_batch counts the targets of all of them.
        return nll / num_items_in_batch * self.accelerator.num_processes

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Score the validation rows, and as many train rows the same way, without dropout."""
        model = self.accelerator.unwrap_model(self.model)
        hardware, pad_id, processes = self.setup.hardware, self.setup.pad_id, self.setup.processes
        metrics = {
            f"{name}_loss": score_rows(model, rows, hardware, pad_id, processes=processes).loss
            for name, rows in self.eval_dataset.items()
            if len(rows)
        }
        control: TrainerControl = self.control  # type: ignore[has-type]
        self.control = self.callback_handler.on_evaluate(self.args, self.state, control, metrics)
        return metrics

    def get_train_dataloader(self) -> DataLoader:
        """Batches of rows; among several processes, this one's share of them."""
        processes = self.setup.processes
        if processes.world_size == 1:
            return super().get_train_dataloader()
        lengths = np.concatenate([block.lengths for block in read_blocks(self.train_dataset)])  # (rows,)
        sampler = DistributedBatchSampler(lengths, self.args.train_batch_size, self.args.seed, processes)
        pinned = self.args.dataloader_pin_memory
        return DistributedLoader(self.train_dataset, sampler, self.data_collator, pin_memory=pinned)


def disk_needed(size: ModelSize) -> int:
    """Bytes that a run takes, in fp32: in each checkpoint and in one being written, the trained weights and AdamW's two
    moments of each; once more the best trained weights; and the finished model."""
    return 4 * (size.trained_parameters * (3 * (CHECKPOINTS_KEPT + 1) + 1) + size.parameters)


def training_arguments(setup: TrainingSetup) -> TrainingArguments:
    """Our settings as Trainer's arguments."""
    settings, hardware = setup.settings, setup.hardware
    return OneGpuArguments(
        output_dir=str(setup.folder),
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
        seed=setup.seed,
        data_seed=setup.seed,
        eval_strategy="epoch",
        eval_on_start=True,
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
        ddp_timeout=int(TIMEOUT.total_seconds()),
    )


def make_trainer(
    model: PreTrainedModel, splits: dict[str, Dataset], setup: TrainingSetup, stop: StopRequest
) -> SumLossTrainer:
    """A trainer ready to run or resume; it fills `trainer.run_state`.

    splits: 'train' and 'validation'; without validation rows there is no best epoch and no early stopping.
    """
    settings, processes = setup.settings, setup.processes
    train, validation = splits["train"], splits["validation"]
    scored = {"train": train.select(range(min(len(train), max(len(validation), 100)))), "validation": validation}
    # The first process chooses: of a model that FSDP will shard, it alone has loaded the weights by now.
    step = processes.broadcast(choose_step(model, train[0], setup.hardware, settings.packing))
    replace_layers(model, setup.hardware.device)
    curves = Curves(settings.early_stopping_patience if len(validation) else 0)
    run_state = RunState(setup.folder, LossMeter(setup.hardware.device), curves, processes)
    trainer = SumLossTrainer(
        setup,
        step,
        run_state,
        model=model,
        args=training_arguments(setup),
        train_dataset=train,
        eval_dataset=scored,
        data_collator=lambda rows: collate(rows, setup.pad_id, step.layout),
    )
    trainer.remove_callback(PrinterCallback)
    # In this order: curves before what judges them, a complete checkpoint before the stop that it was saved for.
    trainer.add_callback(CurveRecorder(run_state))
    if len(validation) and settings.keep == "best":
        trainer.add_callback(BestWeights(run_state))
    trainer.add_callback(EarlyStopping(curves))
    trainer.add_callback(Progress(run_state))
    trainer.add_callback(CheckpointFinisher(run_state))
    trainer.add_callback(SaveAndStop(settings.checkpoint_minutes, stop, processes))
    if processes.rank:
        torch.manual_seed(setup.seed + processes.rank)  # each process draws its own dropout
    return trainer


def run(trainer: SumLossTrainer) -> None:
    """Train to the end, from the run's latest intact checkpoint if there is one.

    Raises Stopped after a requested stop, once a checkpoint is written; LockstepError when a GPU's memory is full, the
    loss is not finite or a checkpoint can't be written.
    """
    processes = trainer.setup.processes
    checkpoint = processes.broadcast(latest_intact(trainer.setup.folder) if processes.is_main else None)
    if checkpoint is not None:
        _resume(trainer, checkpoint)
        say("train", f"goes on from the checkpoint of step {checkpoint_step(checkpoint)}")
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except torch.OutOfMemoryError:
        raise LockstepError(
            "The memory of the GPU is full.",
            "Halve train.per_device_batch_size and double train.gradient_accumulation_steps, set "
            "train.gradient_checkpointing to true or train.method to lora, or see docs/scaling.md.",
        ) from None
    except Exception:
        # Trainer clears should_evaluate once an evaluation is done, and should_save once a checkpoint is written.
        saving = trainer.control.should_save and not trainer.control.should_evaluate
        if not saving:
            raise
        with writing(CHECKPOINTS):
            raise


def _resume(trainer: SumLossTrainer, checkpoint: Path) -> None:
    """Load the run state, which Trainer does not know, and prepare it to start where the checkpoint ends."""
    trainer.run_state.load(checkpoint)
    trainer.args.eval_on_start = False
    curves = trainer.run_state.curves
    if curves.patience_is_over:  # no epoch is left: Trainer loads the checkpoint and ends
        trainer.args.num_train_epochs = len(curves.epochs) - 1  # the first point is before training


def finished_model(trainer: SumLossTrainer, build: Callable[[], Any]) -> Any | None:
    """The trained model, an ordinary one: with the best epoch's weights where those are kept, and adapters merged.

    None in all processes but the first.

    build: builds the model anew; weights gathered from shards (FSDP) are put into it. Raises LockstepError when the
    checkpoint that holds the best weights is damaged, or merging changes the model (see lora.merge_adapters).
    """
    model = trainer.accelerator.unwrap_model(trainer.model)
    gathered = gather_weights(model) if trainer.is_fsdp_enabled else {}
    if not trainer.setup.processes.is_main:
        return None
    if gathered:
        model = build()
        put_weights(model, gathered)
    if trainer.run_state.best_weights.exists():
        last = trainer.setup.folder / f"checkpoint-{trainer.state.global_step}"
        if not is_intact(last):
            raise LockstepError(f"{last} is damaged.", "Run again: training goes on from what is whole.")
        put_weights(model, load_weights(last / BEST))
    if trainer.setup.settings.method == "lora":
        model = merge_adapters(model, trainer.train_dataset, trainer.setup.pad_id)
    return model
