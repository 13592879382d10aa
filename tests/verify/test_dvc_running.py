"""A DVC that runs in this project is noticed; what a killed one left is in nobody's way."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lockstep.core.errors import LockstepError
from lockstep.verify.dvc_running import LOCKS, check_dvc_is_free


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    LOCKS.parent.mkdir(parents=True)


def lock_for(pid: int) -> None:
    LOCKS.write_text(json.dumps({"write": {"/p/data/prepared": {"pid": pid, "cmd": "dvc repro"}}}))


def test_before_the_first_run_there_are_no_locks() -> None:
    check_dvc_is_free()


def test_a_running_dvc_is_named() -> None:
    command = ["/bin/dvc", "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(command, executable=sys.executable, stdin=subprocess.PIPE) as other:
        lock_for(other.pid)
        with pytest.raises(LockstepError, match=rf"process {other.pid}\b.* run again"):
            check_dvc_is_free()
        other.kill()


def test_what_a_killed_dvc_left_is_in_nobody_s_way() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    lock_for(process.pid)
    check_dvc_is_free()


def test_a_process_of_another_kind_with_the_same_id_is_no_dvc() -> None:
    lock_for(os.getpid())
    check_dvc_is_free()


def test_locks_of_a_dvc_that_has_ended_pass() -> None:
    LOCKS.write_text('{"read": {}}')
    check_dvc_is_free()


@pytest.mark.parametrize("content", ["", "[]", "{", '{"write": {"a": 3}}'])
def test_locks_that_dvc_could_not_read_are_named_with_what_to_do(content: str) -> None:
    LOCKS.write_text(content)
    with pytest.raises(LockstepError, match=r"^\.dvc/tmp/rwlock .*`rm \.dvc/tmp/rwlock`"):
        check_dvc_is_free()
