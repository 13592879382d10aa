"""Several processes: who gets which rows, what they agree on, and how they are started."""

import io
import os
from itertools import chain
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from projects import ROOT, Project

from lockstep.artifacts.prompt import Prompt
from lockstep.core.entry_point import LAUNCHED_BY
from lockstep.core.errors import LockstepError, Stopped
from lockstep.core.settings import Device, Generation, load_params
from lockstep.evaluation import answers
from lockstep.evaluation.answers import generate_answers
from lockstep.modeling.collate import collate
from lockstep.modeling.device import Hardware, set_up
from lockstep.modeling.distributed import SINGLE_PROCESS, ProcessGroup, connect, current_group
from lockstep.modeling.launch import as_worker, processes_on_this_machine, processes_to_launch, read_config
from lockstep.modeling.scoring import score_rows, token_losses
from lockstep.modeling.worker_output import WorkerOutput
from lockstep.training.distributed_sampler import DistributedBatchSampler, DistributedLoader, collate_share
from lockstep.training.step import TrainingStep

PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
TABLE = "  rank      : {} (local_rank: 0)\n  exitcode  : {} (pid: 7)\n"
CONFIG = {"distributed_type": "MULTI_GPU", "num_processes": 4}


def of(count: int) -> list[ProcessGroup]:
    return [ProcessGroup(number, count, count, number) for number in range(count)]


def device(name: str = "auto", threads: Any = "auto") -> Device:
    return Device.model_validate({**PARAMS["device"], "name": name, "threads": threads})


@pytest.mark.parametrize(("rows", "count"), [(12, 2), (13, 3), (7, 4), (1, 2), (17, 4)])
def test_each_step_has_the_rows_it_would_have_in_one_process(rows: int, count: int) -> None:
    lengths = [5 + 7 * row % 11 for row in range(rows)]
    whole = DistributedBatchSampler(lengths, 4 * count, 42, SINGLE_PROCESS)
    shares = [DistributedBatchSampler(lengths, 4, 42, one) for one in of(count)]
    for epoch in (0, 1):
        for batches in (whole, *shares):
            batches.set_epoch(epoch)
        expected = [sorted(batch) for batch in whole]
        assert sorted(chain(*expected)) == list(range(rows))
        assert [sorted(chain(*parts)) for parts in zip(*shares, strict=True)] == expected
        assert {len(batches) for batches in shares} == {len(whole)}


def test_processes_have_about_as_many_tokens_in_each_step() -> None:
    lengths = [20 + row * row for row in range(32)]
    shares = [DistributedBatchSampler(lengths, 8, 42, one) for one in of(4)]
    for parts in zip(*shares, strict=True):
        tokens = [sum(lengths[row] for row in part) for part in parts]
        assert [len(part) for part in parts] == [8] * 4
        assert max(tokens) - min(tokens) <= 0.1 * max(tokens)
        assert max(lengths) - min(lengths) > 0.3 * max(tokens)  # what one row more or less would make


def test_epochs_are_shuffled_as_accelerate_shuffles_them_for_one_process() -> None:
    from accelerate.data_loader import prepare_data_loader
    from torch.utils.data import DataLoader, RandomSampler

    rows = list(range(10))
    plain = DataLoader(rows, batch_size=4, sampler=RandomSampler(rows), collate_fn=list)  # type: ignore[arg-type]
    theirs = prepare_data_loader(plain, num_processes=1, process_index=0, use_seedable_sampler=True, data_seed=7)
    ours = DistributedLoader(rows, DistributedBatchSampler([3] * 10, 4, 7, SINGLE_PROCESS), list)  # type: ignore[arg-type]
    for epoch in (0, 1, 3):
        theirs.set_epoch(epoch)
        ours.set_epoch(epoch)
        assert list(ours) == list(theirs)


@pytest.mark.parametrize("fused", [True, False])
def test_a_share_without_rows_adds_nothing_and_still_has_gradients(model: Any, fused: bool) -> None:
    batch = collate_share([], lambda rows: collate(rows, 0, "line"))
    assert (batch["tokens"], batch["targets"].numel()) == (0, 0)
    loss = TrainingStep("line", fused).loss(model, batch)
    loss.backward()
    assert loss.item() == 0
    assert all(weight.grad is not None and not weight.grad.any() for weight in model.parameters())


def test_each_process_has_as_many_rounds_and_each_item_is_one_process_s() -> None:
    rounds = [list(one.rounds("abcde")) for one in of(2)]
    assert rounds == [[("a", True), ("c", True), ("e", True)], [("b", True), ("d", True), ("a", False)]]
    assert list(SINGLE_PROCESS.rounds("ab")) == [("a", True), ("b", True)]
    assert list(SINGLE_PROCESS.rounds("")) == []


def test_shared_scores_are_those_of_one_process(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"input_ids": list(range(1, 4 + n)), "target_start": 1 + n % 3} for n in range(7)]
    hardware = Hardware("cpu", "fp32", 1)
    parts: list[Any] = []
    monkeypatch.setattr(
        ProcessGroup, "all_reduce_sum", lambda self, values: parts.append(np.array(values, float)) or parts[-1]
    )
    for one in of(2):
        score_rows(model, rows, hardware, 0, tokens=12, processes=one)
    monkeypatch.undo()
    alone = score_rows(model, rows, hardware, 0, tokens=12)
    assert np.array_equal(parts[0] + parts[2], alone.nll)
    assert np.array_equal(parts[1] + parts[3], [alone.targets, alone.correct])


class Exchange:
    """Stands for the network: each process works alone up to its first exchange, and then gets what all had to say."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.values: list[Any] = []
        self.complete = False
        monkeypatch.setattr(ProcessGroup, "all_gather", self.all_gather)

    def all_gather(self, value: Any) -> list[Any]:
        if not self.complete:
            self.values.append(value)
            raise InterruptedError
        return self.values

    def results(self, work: Any, count: int) -> list[Any]:
        """What each of them comes to."""
        for one in of(count):
            with pytest.raises(InterruptedError):
                work(one)
        self.complete = True
        return [work(one) for one in of(count)]


@pytest.mark.parametrize("count", [2, 5])  # 5: more than there are batches, so that some have none
def test_shared_token_losses_are_those_of_one_process(model: Any, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    rows = [{"input_ids": list(range(1, 4 + n)), "target_start": 1 + n % 3} for n in range(7)]
    hardware = Hardware("cpu", "fp32", 1)
    alone = token_losses(model, rows, hardware, 0, tokens=20)
    exchange = Exchange(monkeypatch)
    for shared in exchange.results(lambda one: token_losses(model, rows, hardware, 0, 20, one), count):
        assert [row.tolist() for row in shared.nll] == [row.tolist() for row in alone.nll]
        assert [row.tolist() for row in shared.correct] == [row.tolist() for row in alone.correct]
    assert sorted(index for part in exchange.values for index in part) == list(range(7))


@pytest.mark.parametrize("count", [2, 4])
def test_shared_answers_are_those_of_one_process(
    model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    asked = [answers.TestQuestion(str(n), str(n), f"Which {'old ' * (n % 4)}kettle {n}?", "") for n in range(3)]
    settings = Generation.model_validate({**PARAMS["generation"], "max_new_tokens": 6})
    alone = generate_answers(model, tokenizer, Prompt(), asked, settings)
    exchange = Exchange(monkeypatch)
    results = exchange.results(lambda one: generate_answers(model, tokenizer, Prompt(), asked, settings, one), count)
    assert results == [alone] * count
    assert sorted(index for part in exchange.values for index, _ in part) == [0, 1, 2]


def test_threads_of_a_machine_are_shared_by_its_processes() -> None:
    assert set_up(device(threads=8), 1, ProcessGroup(1, 6, 3, 1)) == Hardware(
        "cpu", set_up(device(), 1).precision, 2, 6
    )
    assert set_up(device(threads=1), 1, of(2)[0]).threads == 1
    assert str(Hardware("cpu", "fp32", 2, 4)) == "CPU, fp32, 4 processes of 2 threads"


def test_who_this_process_is_comes_from_the_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    assert current_group(4) == SINGLE_PROCESS
    for name, value in {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert current_group(8) == current_group("auto") == ProcessGroup(5, 8, 4, 1)
    with pytest.raises(
        LockstepError, match=r"8 processes were started, but train\.num_processes is 1\. Set it to 8 or auto"
    ):
        current_group(1)


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    said = r"2 processes on this machine need 2 devices, but it has 1\. Set train\.num_processes to 1, or device\.name to cpu\."
    for name in ("cuda", "mps"):
        with pytest.raises(LockstepError, match=said):
            connect(of(2)[0], name)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(LockstepError, match="FSDP was asked for, but device is cpu"):
        connect(of(2)[0], "cpu")


def test_how_many_processes_are_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    counts = {wanted: processes_to_launch(wanted, None, device()) for wanted in (1, 2, "auto")}
    assert counts == {1: None, 2: 2, "auto": 3}
    assert processes_to_launch("auto", None, device("cpu")) is None
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert processes_to_launch("auto", None, device()) is None
    monkeypatch.setenv("RANK", "0")
    assert processes_to_launch(2, None, device()) is None


def test_a_stage_that_knows_one_machine_takes_one_process_for_each_of_its_devices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lockstep.modeling.launch.available_cores", lambda: 6)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    assert [processes_on_this_machine(wanted, None, device()) for wanted in (1, 4, 16, "auto")] == [None, 4, 8, 8]
    assert [processes_on_this_machine(wanted, None, device("cpu")) for wanted in (2, 16, "auto")] == [2, 6, None]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert processes_on_this_machine(16, None, device()) == 6
    monkeypatch.setattr("lockstep.modeling.launch.available_cores", lambda: 1)
    assert processes_on_this_machine(16, None, device()) is None


def test_a_config_file_says_how_many_processes(tmp_path: Any) -> None:
    name = str(tmp_path / "accelerate.yaml")
    (tmp_path / "accelerate.yaml").write_text(yaml.safe_dump(CONFIG))
    for wanted in (4, "auto"):
        assert processes_to_launch(wanted, name, device()) == 4
    with pytest.raises(LockstepError, match=r"train\.num_processes is 2, num_processes in .*accelerate\.yaml is 4"):
        processes_to_launch(2, name, device())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "can't be read: it is not there"),
        ("a: [", "can't be read: ParserError"),
        ("- 3", "distributed_type is None"),
        (yaml.safe_dump({**CONFIG, "distributed_type": "DEEPSPEED"}), "distributed_type is DEEPSPEED"),
        (yaml.safe_dump({**CONFIG, "distributed_type": "FSDP"}), "fsdp_version is not 2"),
    ],
)
def test_a_config_that_does_not_work_is_said(tmp_path: Any, content: str | None, said: str) -> None:
    path = tmp_path / "accelerate.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(LockstepError, match=said):
        read_config(str(path))


def judged(text: str, exit_code: int = 1, reason: str = "") -> None:
    output = WorkerOutput(SimpleNamespace(stderr=io.StringIO(text)))  # type: ignore[arg-type]
    output.join()
    output.raise_problem(exit_code, reason, "2 that train together", "Run again: it goes on.")


def test_warnings_are_passed_on_once_and_noise_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    judged("warning: a\nUserWarning: b\nwarning: a\nwarning: c\n", exit_code=0)
    assert capsys.readouterr().err == "warning: a\nwarning: c\n"


def test_what_went_wrong_in_one_is_said_once_as_it_said_it() -> None:
    with pytest.raises(LockstepError, match=r"^x is missing\. Make it\.$"):
        judged("error: x is missing. Make it.\nTraceback ...\nerror: x is missing. Make it.\n")


def test_a_stop_is_a_stop_whether_they_had_begun_or_not() -> None:
    with pytest.raises(Stopped, match=r"^stopped by SIGTERM; saved at step 3 of 9$"):
        judged("stopped\nstopped: stopped by SIGTERM; saved at step 3 of 9\n", exit_code=0)
    with pytest.raises(Stopped, match=r"^stopped by Ctrl-C; nothing new was saved$"):
        judged("Traceback\nKeyboardInterrupt\n", reason="stopped by Ctrl-C")


def test_a_killed_process_is_named_whatever_the_others_cried() -> None:
    text = "[rank0]: RuntimeError: Connection closed by peer\n" + TABLE.format(0, 1) + TABLE.format(1, -9)
    with pytest.raises(LockstepError, match=r"^Process 1 of the 2 .* was killed \(SIGKILL, .*Run again: it goes on"):
        judged(text)


def test_what_stopped_because_another_was_killed_is_no_stop() -> None:
    with pytest.raises(LockstepError, match=r"^Process 1 of the 2 .* was killed"):
        judged("stopped: stopped by SIGTERM\n" + TABLE.format(1, -9))


def test_a_process_that_failed_is_named_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    text = "[rank0]: RuntimeError: Connection closed by peer\n[rank1]: Traceback:\n[rank1]: MemoryError: too big\n"
    with pytest.raises(LockstepError, match=r"^Process 1 of the 2 that train together failed: MemoryError: too big\."):
        judged(text + TABLE.format(0, 1) + TABLE.format(1, 1))
    assert capsys.readouterr().err == "Traceback:\nMemoryError: too big\n"


def test_one_of_several_that_is_stopped_ends_well(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    with pytest.raises(Stopped), as_worker():
        raise Stopped("by hand")
    monkeypatch.setenv(LAUNCHED_BY, "1")
    with as_worker():
        raise Stopped("saved")
    assert capsys.readouterr().err == "stopped: saved\n"


def test_one_process_is_started_by_nobody(after: Project) -> None:
    assert load_params().train.num_processes == 1
    after.run("train")
    assert after.json("metrics/train.json")["processes"] == 1
    assert "RANK" not in os.environ
