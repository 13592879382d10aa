"""How many processes are launched and with which config; and stages in two processes, from start to end."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
import yaml
from projects import ROOT, Project, copy_sources, hashes
from training_runs import losses, weights, written

from lockstep.core.entry_point import LAUNCHED_BY
from lockstep.core.errors import LockstepError, Stopped
from lockstep.core.settings import Device, load_params
from lockstep.modeling.launch import as_worker, processes_on_this_machine, processes_to_launch, read_config
from lockstep.training.checkpoints import checkpoint_step
from tests.pipeline.test_pipeline import dvc

PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
CONFIG = {"distributed_type": "MULTI_GPU", "num_processes": 4}
PATIENCE = 250.0  # seconds


def device(name: str = "auto") -> Device:
    return Device.model_validate({**PARAMS["device"], "name": name})


def test_no_processes_are_launched_for_one_or_by_one_of_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    counts = {wanted: processes_to_launch(wanted, None, device()) for wanted in (1, 2, "auto")}
    assert counts == {1: None, 2: 2, "auto": 3}
    assert processes_to_launch("auto", None, device("cpu")) is None
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert processes_to_launch("auto", None, device()) is None
    monkeypatch.setenv("RANK", "0")
    assert processes_to_launch(2, None, device()) is None


def test_a_stage_on_one_machine_gets_at_most_one_process_per_gpu_or_core(
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


def test_a_config_file_sets_the_number_of_processes(tmp_path: Path) -> None:
    name = str(tmp_path / "accelerate.yaml")
    (tmp_path / "accelerate.yaml").write_text(yaml.safe_dump(CONFIG))
    for wanted in (4, "auto"):
        assert processes_to_launch(wanted, name, device()) == 4
    with pytest.raises(LockstepError, match=r"train\.num_processes is 2, num_processes in .*accelerate\.yaml is 4"):
        processes_to_launch(2, name, device())


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "can't be read: it is not there"),
        ("a: [", "can't be read: ParserError"),
        ("- 3", "distributed_type is None"),
        (yaml.safe_dump({**CONFIG, "distributed_type": "DEEPSPEED"}), "distributed_type is DEEPSPEED"),
        (yaml.safe_dump({**CONFIG, "distributed_type": "FSDP"}), "fsdp_version is not 2"),
    ],
)
def test_a_config_that_can_not_be_used_is_refused(tmp_path: Path, content: str | None, problem: str) -> None:
    path = tmp_path / "accelerate.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(LockstepError, match=problem):
        read_config(str(path))


def test_a_worker_that_is_stopped_exits_without_an_error(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    with pytest.raises(Stopped), as_worker():
        raise Stopped("by hand")
    monkeypatch.setenv(LAUNCHED_BY, "1")
    with as_worker():
        raise Stopped("saved")
    assert capsys.readouterr().err == "stopped: saved\n"


def test_one_process_trains_without_a_launcher(after: Project) -> None:
    assert load_params().train.num_processes == 1
    after.run("train")
    assert after.json("metrics/train.json")["processes"] == 1
    assert "RANK" not in os.environ


def slow(test: Any) -> Any:
    """Mark a test of whole stages."""
    return pytest.mark.slow(pytest.mark.timeout(900)(test))


def start(project: Project, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *(words or ("-m", "stages.train"))],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_checkpoint(stage: subprocess.Popen[str], step: int) -> None:
    """Wait until there is a whole checkpoint of this step or a later one."""
    until = time.monotonic() + PATIENCE
    while not any(checkpoint_step(path.parent) >= step for path in Path(".checkpoints").glob("*/*/manifest.json")):
        assert stage.poll() is None and time.monotonic() < until, stage.communicate()
        time.sleep(0.01)


def workers(stage: subprocess.Popen[str]) -> list[psutil.Process]:
    """The processes that do the work, in the order of their ranks."""
    ranks = {}
    for process in psutil.Process(stage.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess, KeyError):  # a child of a library's may end meanwhile, or have no rank
            ranks[int(process.environ()["RANK"])] = process
    return [ranks[rank] for rank in sorted(ranks)]


def end_of(stage: subprocess.Popen[str], *others: psutil.Process) -> tuple[int, str]:
    """Exit code and stderr, once the stage and the others have ended."""
    stderr = stage.communicate(timeout=PATIENCE)[1]
    assert not psutil.wait_procs(others, timeout=PATIENCE)[1]
    return stage.returncode, stderr.strip()


@slow
@pytest.mark.parametrize("accumulation", [1, 2])
def test_two_processes_lose_what_one_with_batches_twice_as_large_loses(after: Project, accumulation: int) -> None:
    after.set("model", dropout=0)  # 48 rows: the last step has three, or one for one process and none for the other
    after.set("train", epochs=1, gradient_accumulation_steps=accumulation, lr_schedule="constant")
    rows = 47 if accumulation == 1 else 15
    one = losses(after, per_device_batch_size=rows // accumulation // 2 * 2)
    tokens = after.json("metrics/train.json")["tokens"]
    after.set("train", per_device_batch_size=rows // accumulation // 2, num_processes=2)
    done = after.command("train")
    assert (done.returncode, done.stderr) == (0, "")
    head, *lines = [line.split(",") for line in Path("metrics/plots/steps.csv").read_text().splitlines()]
    assert [float(line[head.index("loss")]) for line in lines] == pytest.approx(one, abs=1e-5)
    metrics = after.json("metrics/train.json")
    assert (metrics["tokens"], metrics["processes"], metrics["threads"]) == (tokens, 2, 1)
    assert done.stdout.count("\n") == 2  # the first process's two lines, nobody else's
    assert "2 processes of 1 thread" in done.stdout


@slow
def test_killed_and_stopped_and_run_again_they_end_with_the_same_bytes(after: Project) -> None:
    after.set(
        "train", per_device_batch_size=4, epochs=1, num_processes=2, checkpoint_minutes=1e-4, keep="best", method="lora"
    )
    assert after.command("train").returncode == 0
    expected = written()
    killed = start(after)
    wait_for_checkpoint(killed, 2)
    for process in [*workers(killed), psutil.Process(killed.pid)]:
        process.kill()
    killed.communicate()
    stopped = start(after)
    wait_for_checkpoint(stopped, 4)
    both = workers(stopped)
    stopped.send_signal(signal.SIGTERM)
    code, stderr = end_of(stopped, *both)
    assert (code, stderr.partition(";")[0]) == (130, "stopped: stopped by SIGTERM")
    assert "the next run goes on from there" in stderr
    assert after.command("train").returncode == 0
    assert written() == expected
    assert not list(Path(".checkpoints").iterdir())


@slow
def test_a_process_that_dies_ends_all_with_one_line(after: Project) -> None:
    after.set("train", epochs=4000, per_device_batch_size=4, num_processes=2, checkpoint_minutes=0.01)
    stage = start(after)
    wait_for_checkpoint(stage, 1)
    both = workers(stage)
    both[1].kill()
    code, stderr = end_of(stage, *both)
    assert code == 2
    assert re.fullmatch(
        r"error: Process 1 of the 2 that train together was killed .*\. Run again: .*checkpoint\.", stderr
    )


@slow
def test_when_the_stage_is_killed_the_others_save_and_end(after: Project) -> None:
    after.set("train", epochs=4000, per_device_batch_size=4, num_processes=2, checkpoint_minutes=0.5)
    stage = start(after)
    until = time.monotonic() + PATIENCE
    while not list(Path(".checkpoints").glob("*.lock")):  # training begins
        assert time.monotonic() < until
        time.sleep(0.01)
    both = workers(stage)
    stage.kill()
    end_of(stage, *both)
    assert list(Path(".checkpoints").glob("*/checkpoint-*/manifest.json"))


@slow
def test_a_user_s_mistake_is_one_line_from_two_processes_too(after: Project) -> None:
    after.set("train", per_device_batch_size=4, num_processes=2, learning_rate=1e30, max_grad_norm=1e30, warmup_ratio=0)
    done = after.command("train")
    assert done.returncode == 2
    assert re.fullmatch(r"error: The training loss is not a number.*train\.learning_rate\.\n", done.stderr)


@slow
def test_two_processes_evaluate_as_one_does(after: Project) -> None:
    after.run("evaluate")
    alone = hashes("metrics")
    shutil.rmtree("metrics/plots/charts")
    after.set("train", num_processes=2)
    done = after.command("evaluate")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("It got better") == 1  # the first process says it, nobody else
    assert hashes("metrics") == alone


def evaluating(project: Project) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """evaluate in two processes that are connected already, and these processes."""
    project.set("train", num_processes=2)
    project.set("generation", max_new_tokens=200)  # a second or two of work
    stage = start(project, "-m", "stages.evaluate")
    until = time.monotonic() + PATIENCE
    while len(both := workers(stage)) < 2 or not all(one.net_connections() for one in both):
        assert stage.poll() is None and time.monotonic() < until, stage.communicate()
        time.sleep(0.01)
    return stage, both


@slow
def test_evaluating_processes_end_together_with_one_line(after: Project) -> None:
    stage, both = evaluating(after)
    both[1].kill()
    code, stderr = end_of(stage, *both)
    assert code == 2
    assert re.fullmatch(r"error: Process 1 of the 2 that evaluate together was killed .*\. Run again\.", stderr)
    for number in (signal.SIGTERM, signal.SIGINT):
        stage, both = evaluating(after)
        stage.send_signal(number)
        code, stderr = end_of(stage, *both)
        assert code == 130
        assert stderr.startswith("stopped: stopped by") and "\n" not in stderr
    stage, both = evaluating(after)
    stage.kill()
    end_of(stage, *both)


def free_port() -> str:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return str(one.getsockname()[1])


@slow
@pytest.mark.enable_socket
def test_torchrun_starts_two_machines_and_dvc_takes_what_they_made(project: Project) -> None:
    project.set("train", per_device_batch_size=4, num_processes=2, epochs=1)
    copy_sources()
    dvc("init", "--no-scm")
    dvc("repro", "tokenize")
    machine = ["-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1", "--master-addr=127.0.0.1"]
    machine.append(f"--master-port={free_port()}")
    machines = [start(project, *machine, f"--node-rank={number}", "-m", "stages.train") for number in range(2)]
    ends = [end_of(one) for one in machines]
    assert [code for code, _ in ends] == [0, 0], ends
    by_hand = written()
    dvc("commit", "--force", "train")
    assert "Stage 'train' didn't change, skipping" in dvc("repro", "train")
    dvc("repro", "--force", "--single-item", "--no-run-cache", "train")
    assert written() == by_hand


FSDP = """
compute_environment: LOCAL_MACHINE
distributed_type: FSDP
machine_rank: 0
main_process_port: 0
mixed_precision: 'no'
num_machines: 1
num_processes: 2
fsdp_config:
  fsdp_version: 2
  fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP
  fsdp_state_dict_type: SHARDED_STATE_DICT
  fsdp_reshard_after_forward: true
"""


@slow
@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_model_in_shards_learns_the_same_and_goes_on_from_its_checkpoint(after: Project, method: str) -> None:
    after.set("model", dropout=0)
    after.set(
        "train", method=method, per_device_batch_size=4, epochs=1, num_processes=2, checkpoint_minutes=1e-4, keep="best"
    )
    assert after.command("train").returncode == 0
    copies = weights()
    config = after.put("fsdp.yaml", FSDP)
    words = [
        "-m",
        "accelerate.commands.launch",
        "--config_file",
        str(config),
        str(ROOT / "tests/support/fsdp_on_cpu.py"),
    ]
    sharded = start(after, *words)
    code, stderr = end_of(sharded)
    assert code == 0, stderr
    expected = written()
    assert all(torch.allclose(weight, copies[name], atol=1e-4) for name, weight in weights().items())
    killed = start(after, *words)
    wait_for_checkpoint(killed, 3)
    for process in workers(killed):
        process.kill()
    killed.communicate()
    assert end_of(start(after, *words))[0] == 0
    assert written() == expected
