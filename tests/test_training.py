"""The train stage on tiny data: what it writes, and that the same run gives the same bytes, whatever happens."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from projects import Project, hashes
from safetensors.torch import load_file

from stages.core import hardware, training
from stages.core.errors import LockstepError, Stopped
from stages.core.hardware import Hardware
from stages.core.model import load_model
from stages.core.params import Device
from stages.core.scoring import score_rows

WRITTEN = ("models/finetuned", "metrics/train.json", "metrics/plots")
FINETUNED = [
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "prompt.json",
    "tokenizer.json",
    "tokenizer_config.json",
]


def written() -> dict[str, dict[str, str]]:
    return {name: hashes(name) for name in WRITTEN}


def weights() -> dict[str, torch.Tensor]:
    return load_file("models/finetuned/model.safetensors")


def trained(project: Project, **settings: Any) -> dict[str, torch.Tensor]:
    """The weights after training with some settings changed."""
    project.set("train", **settings)
    project.run("train")
    return weights()


def losses(project: Project, **settings: Any) -> list[float]:
    """Training loss at each step, with some settings changed."""
    trained(project, **settings)
    head, *lines = [line.split(",") for line in Path("metrics/plots/steps.csv").read_text().splitlines()]
    return [float(line[head.index("loss")]) for line in lines]


def interrupt_after(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Send this process SIGTERM, once, when a step is done."""
    whole = training.Progress.on_step_end

    def on_step_end(self: Any, args: Any, state: Any, control: Any, **rest: Any) -> None:
        if state.global_step == step:
            monkeypatch.setattr(training.Progress, "on_step_end", whole)
            os.kill(os.getpid(), signal.SIGTERM)
        whole(self, args, state, control, **rest)

    monkeypatch.setattr(training.Progress, "on_step_end", on_step_end)


def test_training_lowers_the_loss_and_writes_model_figures_and_curves(after: Project) -> None:
    metrics = after.json("metrics/train.json")
    assert sorted(hashes("models/finetuned")) == FINETUNED
    assert metrics["validation_loss"] < metrics["epochs"]["0"]["validation_loss"]
    assert list(metrics["epochs"]) == ["0", "1", "2"]
    assert (metrics["steps"], metrics["device"], metrics["precision"], metrics["threads"]) == (12, "cpu", "fp32", 1)
    assert metrics["tokens"] == 2 * after.json("metrics/tokenize.json")["tokens_of_train"]
    assert len(Path("metrics/plots/epochs.csv").read_text().splitlines()) == 4
    assert len(Path("metrics/plots/steps.csv").read_text().splitlines()) == 13
    assert not list(Path(".checkpoints").iterdir())


def test_no_output_holds_a_path_or_a_date(after: Project) -> None:
    here, today = str(after.folder.parent).encode(), time.strftime("%Y-%m-%d").encode()
    for name in ("models/finetuned", "models/export", "metrics", "data/prepared", "data/tokenized"):
        for path in Path(name).rglob("*"):
            content = path.read_bytes() if path.is_file() else b""
            assert here not in content, path
            assert b"/tmp/" not in content, path
            assert today not in content, path


def test_the_same_run_gives_the_same_bytes(after: Project) -> None:
    before = written()
    after.run("train")
    assert written() == before


def test_another_seed_gives_other_weights(after: Project) -> None:
    before = hashes("models/finetuned")["model.safetensors"]
    after.params["seed"] = 7
    after.set("train")
    after.run("train")
    assert hashes("models/finetuned")["model.safetensors"] != before


@pytest.mark.parametrize(("step", "packing"), [(1, True), (4, False), (6, True), (7, True), (12, True)])
def test_stopped_anywhere_and_run_again_it_ends_with_the_same_bytes(
    after: Project, monkeypatch: pytest.MonkeyPatch, step: int, packing: bool
) -> None:
    if not packing:  # `after` has been trained with packing
        trained(after, packing=False)
    whole = written()
    interrupt_after(monkeypatch, step)
    with pytest.raises(
        Stopped, match=f"stopped by SIGTERM; saved at step {step} of 12, the next run goes on from there"
    ):
        after.run("train")
    after.run("train")
    assert written() == whole
    assert not list(Path(".checkpoints").iterdir())


def test_stopped_between_two_points_of_the_curve_it_draws_the_same_curve(
    after: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "CURVE_POINTS", 3)
    after.run("train")
    whole = Path("metrics/plots/steps.csv").read_text()
    assert len(whole.splitlines()) == 4
    interrupt_after(monkeypatch, 7)
    with pytest.raises(Stopped):
        after.run("train")
    after.run("train")
    assert Path("metrics/plots/steps.csv").read_text() == whole


def test_a_stop_saves_before_it_ends_and_leaves_the_old_model(after: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    before = written()
    after.set("train", learning_rate=0.02)
    interrupt_after(monkeypatch, 4)
    with pytest.raises(Stopped):
        after.run("train")
    assert written() == before
    [folder] = [path for path in Path(".checkpoints").iterdir() if path.is_dir()]
    assert (folder / "checkpoint-4" / "sealed.json").exists()


def test_a_resumed_run_does_not_repeat_its_steps(after: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt_after(monkeypatch, 8)
    with pytest.raises(Stopped):
        after.run("train")
    steps: list[int] = []
    whole = training.Progress.on_step_end

    def on_step_end(self: Any, args: Any, state: Any, control: Any, **rest: Any) -> None:
        steps.append(state.global_step)
        whole(self, args, state, control, **rest)

    monkeypatch.setattr(training.Progress, "on_step_end", on_step_end)
    after.run("train")
    assert steps == [9, 10, 11, 12]


def test_a_damaged_checkpoint_is_passed_over(after: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = written()
    interrupt_after(monkeypatch, 8)
    with pytest.raises(Stopped):
        after.run("train")
    [last] = Path(".checkpoints").glob("*/checkpoint-8")
    content = bytearray((last / "optimizer.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (last / "optimizer.pt").write_bytes(content)
    after.run("train")
    assert written() == whole


def test_a_changed_setting_starts_afresh(after: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    after.set("train", weight_decay=0.5)
    after.run("train")
    whole = written()
    after.set("train", weight_decay=0.1)
    interrupt_after(monkeypatch, 8)
    with pytest.raises(Stopped):
        after.run("train")
    after.set("train", weight_decay=0.5)
    after.run("train")
    assert written() == whole


def test_minutes_between_checkpoints_are_kept(after: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[int] = []
    whole = training.Saver.on_save

    def on_save(self: Any, args: Any, state: Any, control: Any, **rest: Any) -> None:
        saved.append(state.global_step)
        whole(self, args, state, control, **rest)

    monkeypatch.setattr(training.Saver, "on_save", on_save)
    trained(after, checkpoint_minutes=1e-9, epochs=1)
    assert saved == [1, 2, 3, 4, 5, 6]


def test_early_stopping_ends_the_run_and_puts_the_best_weights_back(after: Project) -> None:
    after.set("train", epochs=30, early_stopping=1, keep="best", learning_rate=0.2, schedule="constant", warmup=0)
    after.run("train")
    metrics = after.json("metrics/train.json")
    losses = {int(epoch): figures["validation_loss"] for epoch, figures in metrics["epochs"].items()}
    best = min(losses, key=losses.__getitem__)
    assert metrics["best_epoch"] == best == max(losses) - 1 < 29
    assert metrics["steps"] == max(losses) * 6
    assert validation_loss() == pytest.approx(losses[best], abs=1e-5)


def validation_loss() -> float:
    from stages.core.arrow import read_rows

    rows = read_rows(Path("data/tokenized/validation"))
    model = load_model("models/finetuned", "finetuned")
    return score_rows(model, [rows[index] for index in range(len(rows))], Hardware("cpu", "fp32", 1), 0).loss


def test_a_run_that_died_after_early_stopping_ends_the_same(after: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    after.set("train", epochs=30, early_stopping=1, keep="best", learning_rate=0.2, schedule="constant", warmup=0)
    after.run("train")
    whole = written()

    def dies(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "load_weights", dies)
        with pytest.raises(KeyboardInterrupt):
            after.run("train")
    after.run("train")
    assert written() == whole


def test_without_validation_rows_the_last_weights_are_kept(after: Project) -> None:
    after.set("split", train=0.8, validation=0, test=0.2)
    after.run("prepare", "tokenize", "train")
    metrics = after.json("metrics/train.json")
    assert metrics["verdict"] == "no validation split, so overfitting can't be seen"
    assert (metrics["best_epoch"], "gap" in metrics) == (2, False)


def test_accumulated_small_batches_equal_one_large_batch(after: Project) -> None:
    after.set("model", dropout=0)
    large, small = (losses(after, batch_size=8 // part, accumulation=part, epochs=1) for part in (1, 4))
    assert len(large) == 6
    assert small == pytest.approx(large, abs=1e-4)


def test_packed_training_equals_padded_training(after: Project) -> None:
    after.set("model", dropout=0)
    packed, padded = (losses(after, packing=packing, epochs=1) for packing in (True, False))
    assert padded == pytest.approx(packed, abs=1e-4)


def test_bf16_trains_on_a_cpu_too_and_keeps_fp32_weights(after: Project) -> None:
    exact = after.json("metrics/train.json")["validation_loss"]
    after.set("device", precision="bf16")
    after.run("train")
    metrics = after.json("metrics/train.json")
    assert metrics["precision"] == "bf16"
    assert metrics["validation_loss"] == pytest.approx(exact, rel=0.05)
    assert {weight.dtype for weight in weights().values()} == {torch.float32}


def test_a_loss_that_is_no_number_is_one_clear_line(after: Project) -> None:
    after.set("train", learning_rate=1e30, max_grad_norm=1e30, warmup=0)
    with pytest.raises(LockstepError, match=r"loss is not a number any more\. Lower train\.learning_rate"):
        after.run("train")
    assert sorted(hashes("models/finetuned")) == FINETUNED


@pytest.mark.parametrize(("schedule", "last"), [("linear", 0.0), ("cosine", 0.0), ("constant", 0.01)])
def test_the_learning_rate_warms_up_and_follows_its_schedule(after: Project, schedule: str, last: float) -> None:
    trained(after, schedule=schedule, warmup=0.5)
    lines = [line.split(",") for line in Path("metrics/plots/steps.csv").read_text().splitlines()]
    rates = [float(line[lines[0].index("learning_rate")]) for line in lines[1:]]
    assert rates[:6] == sorted(rates[:6])
    assert max(rates) == pytest.approx(0.01, rel=0.2)
    assert rates[-1] == pytest.approx(last, abs=1e-6)


def test_tokenized_data_that_is_wrong_is_refused_before_training(after: Project) -> None:
    from stages.core.arrow import write_rows
    from stages.core.rows import Row

    write_rows(Path("data/tokenized/train"), [Row([1, 2, 3], 1, 1)])
    with pytest.raises(LockstepError, match="Row 0 of the tokenized data does not end in one supervised end-of-text"):
        after.run("train")


def test_too_little_disk_is_said_before_training(after: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.core.files.free_bytes", lambda path: 10_000)
    with pytest.raises(LockstepError, match=r"Too little disk for \.checkpoints: 2 MB are needed, 0 MB are free"):
        after.run("train")


def test_training_before_tokenizing_says_what_to_run(project: Project) -> None:
    with pytest.raises(LockstepError, match=r"data/tokenized/train is missing\. Run `make tokenize` first"):
        project.run("train")


@pytest.mark.parametrize(
    ("there", "wanted", "device"),
    [((), "auto", "cpu"), (("cuda",), "auto", "cuda"), (("mps",), "auto", "mps"), (("cuda",), "cpu", "cpu")],
)
def test_the_best_device_there_is_taken(
    monkeypatch: pytest.MonkeyPatch, there: tuple[str, ...], wanted: str, device: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: "cuda" in there)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in there)
    assert hardware._device(wanted) == device


def test_a_device_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(LockstepError, match=r"device\.name is cuda, but this machine has cpu only\. Set it to auto"):
        hardware._device("cuda")


@pytest.mark.parametrize(("has", "precision"), [(True, "bf16"), (False, "fp32")])
def test_precision_is_bf16_where_the_hardware_has_it(
    monkeypatch: pytest.MonkeyPatch, has: bool, precision: str
) -> None:
    monkeypatch.setattr(hardware, "cpu_has_bf16", lambda: has)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has)
    assert [hardware._precision("auto", device) for device in ("cpu", "cuda", "mps")] == [precision, precision, "fp32"]
    assert hardware._precision("bf16", "mps") == "bf16"


def test_setting_up_seeds_all_random_numbers_and_takes_the_threads_asked_for() -> None:
    settings = Device.model_validate({"name": "cpu", "precision": "fp32", "threads": 1, "deterministic": True})
    drawn = []
    for seed in (5, 5, 6):
        assert hardware.set_up(settings, seed) == Hardware("cpu", "fp32", 1)
        drawn.append(torch.rand(3).tolist())
    assert drawn[0] == drawn[1] != drawn[2]
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_hardware_reads_as_one_phrase() -> None:
    assert str(Hardware("cpu", "fp32", 1)) == "CPU, fp32, 1 thread"
    assert str(Hardware("mps", "fp32", 4)) == "MPS, fp32, 4 threads"
    assert hardware.available_cores() >= 1
