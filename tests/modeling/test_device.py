"""Which device, precision and threads a run uses."""

import os

import pytest
import torch

from lockstep.core.errors import LockstepError
from lockstep.core.settings import Device
from lockstep.modeling import device as hardware
from lockstep.modeling.device import Hardware
from lockstep.modeling.distributed import ProcessGroup


@pytest.mark.parametrize(
    ("available", "name", "device"),
    [((), "auto", "cpu"), (("cuda",), "auto", "cuda"), (("mps",), "auto", "mps"), (("cuda",), "cpu", "cpu")],
)
def test_auto_is_the_best_available_device(
    monkeypatch: pytest.MonkeyPatch, available: tuple[str, ...], name: str, device: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: "cuda" in available)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in available)
    assert hardware._device(name) == device


def test_a_device_that_is_not_available_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(LockstepError, match=r"^device\.name is cuda.*Set it to auto"):
        hardware._device("cuda")


@pytest.mark.parametrize(("has", "precision"), [(True, "bf16"), (False, "fp32")])
def test_precision_is_bf16_where_the_hardware_has_it(
    monkeypatch: pytest.MonkeyPatch, has: bool, precision: str
) -> None:
    monkeypatch.setattr(hardware, "cpu_has_bf16", lambda: has)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has)
    assert [hardware._precision("auto", device) for device in ("cpu", "cuda", "mps")] == [precision, precision, "fp32"]
    assert hardware._precision("bf16", "mps") == "bf16"


def test_set_up_seeds_all_random_numbers_and_sets_the_threads() -> None:
    settings = Device.model_validate({"name": "cpu", "precision": "fp32", "threads": 1, "deterministic": True})
    drawn = []
    for seed in (5, 5, 6):
        assert hardware.set_up(settings, seed) == Hardware("cpu", "fp32", 1)
        drawn.append(torch.rand(3).tolist())
    assert drawn[0] == drawn[1] != drawn[2]
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


@pytest.mark.parametrize(("device", "only_warns"), [("cpu", True), ("cuda", False)])
def test_a_gpu_refuses_operations_that_are_not_deterministic(
    monkeypatch: pytest.MonkeyPatch, device: str, only_warns: bool
) -> None:
    monkeypatch.setattr(hardware, "_device", lambda name: device)
    monkeypatch.setattr(hardware, "_precision", lambda precision, device: "bf16")
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        hardware.set_up(Device(name="auto", precision="auto", threads=torch.get_num_threads(), deterministic=True), 0)
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled() is only_warns
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def test_the_processes_of_a_machine_share_its_threads() -> None:
    settings = Device.model_validate({"name": "cpu", "precision": "fp32", "threads": 8, "deterministic": True})
    of_six = ProcessGroup(rank=1, world_size=6, local_world_size=3, local_rank=1)
    assert hardware.set_up(settings, 1, of_six) == Hardware("cpu", "fp32", 2, 6)
    one_thread = settings.model_copy(update={"threads": 1})
    assert hardware.set_up(one_thread, 1, ProcessGroup(0, 2, 2, 0)).threads == 1
    assert str(Hardware("cpu", "fp32", 2, 4)) == "CPU, fp32, 4 processes of 2 threads"


def test_hardware_reads_as_one_phrase() -> None:
    assert str(Hardware("cpu", "fp32", 1)) == "CPU, fp32, 1 thread"
    assert str(Hardware("mps", "fp32", 4)) == "MPS, fp32, 4 threads"
    assert hardware.available_cores() >= 1
