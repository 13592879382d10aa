"""The chat as a command and as functions, on a two-layer model."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lockstep.core.errors import LockstepError
from stages import chat

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported model with random weights, in a project's models/export."""
    import torch
    from transformers import AutoModelForCausalLM, GenerationConfig, GPT2Config

    from lockstep.artifacts.prompt import Prompt, write_prompt
    from lockstep.modeling.model import save_model
    from lockstep.pretrained.tokenizer import train_tokenizer

    tokenizer = train_tokenizer(["Question: what is it? Answer: it is this."] * 3, 300, 64)
    shape = {"n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 2}
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(
        GPT2Config(vocab_size=len(tokenizer), eos_token_id=0, bos_token_id=0, **shape)
    )
    folder = tmp_path_factory.mktemp("project") / "models" / "export"
    save_model(model, tokenizer, folder, GenerationConfig(eos_token_id=0, max_new_tokens=8))
    write_prompt(folder, Prompt())
    return folder


@pytest.fixture
def project(export: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The project that holds the export, as the current folder; no model is kept from an earlier test."""
    monkeypatch.chdir(export.parents[1])
    yield export.parents[1]
    chat._assistant.cache_clear()


def run(folder: Path, *arguments: str, piped: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "stages.chat", *arguments]
    return subprocess.run(
        command, cwd=folder, input=piped, capture_output=True, env=environment, timeout=60, check=False
    )


def test_piped_questions_get_json_answers_equal_to_those_of_generate_response(project: Path) -> None:
    done = run(project, "--json", "--max-new-tokens=8", piped="What is π?\n\nWhat is it?\nexit\nnever\n".encode())
    rows = [json.loads(line) for line in done.stdout.decode().splitlines()]
    assert (done.returncode, done.stderr) == (0, b"")
    assert [row["question"] for row in rows] == ["What is π?", "What is it?"]
    assert [row["answer"] for row in rows] == [chat.generate_response(row["question"]) for row in rows]
    assert all(row["finish"] == "length" and row["tokens"] == 8 for row in rows)


def test_help_comes_without_loading_torch() -> None:
    code = "import sys; from stages.chat import argument_parser; argument_parser(); print({'torch', 'prompt_toolkit'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_one_question_on_the_command_line(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["chat", "--question", "What is it?", "--temperature", "0.9", "--seed", "3", "--json"]
    monkeypatch.setattr(sys, "argv", arguments)
    chat.main()
    first = capsys.readouterr().out
    chat.main()
    assert capsys.readouterr().out == first
    monkeypatch.setattr(sys, "argv", [*arguments, "--seed", "4"])
    chat.main()
    assert capsys.readouterr().out != first


def test_a_missing_export_says_what_to_run(tmp_path: Path) -> None:
    done = run(tmp_path, "--question", "What?")
    (line,) = done.stderr.decode().splitlines()
    assert (done.returncode, done.stdout) == (2, b"")
    assert line.startswith("error: models/export ") and "`make repro`" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "./nowhere", "--question", "a"], r"\./nowhere .* nowhere/config\.json"),
        (["--temperature", "hot", "--question", "a"], "temperature = hot: allowed is "),
        (["--question", "  "], "The question is empty"),
    ],
)
def test_a_mistake_on_the_command_line_is_named(
    arguments: list[str], message: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["chat", *arguments])
    with pytest.raises(LockstepError, match=message):
        chat.main()


def test_the_model_is_loaded_once(project: Path) -> None:
    chat.generate_response("What is it?")
    chat.generate_response("And now?")
    assert chat._assistant.cache_info().misses == 1


def typed_into(keys: str, **arguments: Any) -> None:
    """Talk, as a person who types these keys."""
    from prompt_toolkit.application import create_app_session
    from prompt_toolkit.input import create_pipe_input
    from prompt_toolkit.output import DummyOutput

    with create_pipe_input() as keyboard, create_app_session(keyboard, DummyOutput()):
        keyboard.send_text(keys)
        chat.chat_with_model(**arguments)


def test_talking_in_a_terminal_shows_the_streamed_answer(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    typed_into("What is it?\r/good\rexit\r", settings={"max_new_tokens": 4})
    shown = capsys.readouterr().out
    (row,) = [json.loads(line) for line in (project / "data/raw/corrections.jsonl").read_text().splitlines()]
    assert (row["question"], row["verdict"]) == ("What is it?", "good")
    assert "".join(row["answer"].split()) in "".join(shown.split())
    assert shown.endswith("Thank you for the talk. Goodbye!\n\n")


def test_a_damaged_model_ends_the_chat_at_the_first_question(project: Path) -> None:
    broken = project / "broken"
    broken.mkdir()
    (broken / "config.json").write_text("{}")
    with pytest.raises(LockstepError, match=r"broken: config\.json"):
        typed_into("What is it?\rexit\r", model="broken")
