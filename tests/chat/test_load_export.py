"""An export is held against its receipt before chat or server load it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from projects import ROOT, Project
from training_runs import flip_bit

from lockstep.chat.load_export import check_hashes, check_sizes
from lockstep.core.errors import LockstepError
from stages import chat

EXPORT = Path("models/export")

WEIGHTS = EXPORT / "model.safetensors"


def test_weights_with_one_wrong_bit_are_refused_in_one_line(after: Project) -> None:
    flip_bit(WEIGHTS)
    done = after.command("chat", "--question", "Which paint?")
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"error: models/export/model\.safetensors .*receipt\.json.*`make export`.*\n", done.stderr)


def test_with_a_pipe_the_error_names_the_weights_and_not_a_line_of_input(after: Project) -> None:
    flip_bit(WEIGHTS)
    command = [sys.executable, "-m", "stages.chat"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, input="Hello\n", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: models/export/model.safetensors ")


def test_the_server_refuses_them_too(after: Project) -> None:
    flip_bit(WEIGHTS)
    done = after.command("serve", "--port", "0")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: models/export/model.safetensors ")
    assert done.stderr.count("\n") == 1


def test_weights_cut_short_are_refused_before_anything_is_loaded(after: Project) -> None:
    content = WEIGHTS.read_bytes()
    WEIGHTS.write_bytes(content[:-1])
    with pytest.raises(LockstepError, match=rf"{len(content):,} bytes .*{len(content) - 1:,} .*`make export`"):
        chat.check_model("models/export")


def test_missing_and_unlisted_weights_are_named(after: Project) -> None:
    WEIGHTS.rename(EXPORT / "other.safetensors")
    with pytest.raises(LockstepError, match=r"export/model\.safetensors .*missing"):
        check_sizes(EXPORT)
    WEIGHTS.write_bytes((EXPORT / "other.safetensors").read_bytes())
    with pytest.raises(LockstepError, match=r"export/other\.safetensors .*not listed"):
        check_sizes(EXPORT)


def test_the_remedy_for_a_model_elsewhere_is_to_get_it_again(after: Project) -> None:
    EXPORT.rename("models/mine")
    flip_bit(Path("models/mine/model.safetensors"))
    with pytest.raises(LockstepError, match=r"mine/model\.safetensors .*Get the model again"):
        check_hashes(Path("models/mine"))


@pytest.mark.parametrize(
    "content", [None, "[]", '{"weights": 3}', '{"weights": {"model.safetensors": "x"}}', '{"a": 1}']
)
def test_a_model_without_a_receipt_of_ours_is_accepted(after: Project, content: str | None) -> None:
    (EXPORT / "receipt.json").unlink()
    if content is not None:
        (EXPORT / "receipt.json").write_text(content)
    flip_bit(WEIGHTS)
    check_sizes(EXPORT)
    check_hashes(EXPORT)


def test_a_receipt_that_is_no_json_is_one_clear_line(after: Project) -> None:
    (EXPORT / "receipt.json").write_text("{")
    with pytest.raises(LockstepError, match=r"models/export/receipt\.json line 1 is not valid JSON"):
        chat.check_model("models/export")
