"""chat: talk with the exported model in the terminal.

Type a question and press Enter; Alt-Enter begins a new line; /help lists the commands; exit ends. A model of plain
texts continues what you type. Each line of piped standard input is answered too.
"""

if not __package__:
    import run_by_path  # noqa: F401  (it ends the program)

import argparse
import os
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from lockstep.chat.settings import SETTINGS, parse_setting
from lockstep.core.entry_point import command_parser
from lockstep.core.errors import LockstepError, run_command
from lockstep.core.paths import EXPORT, expand_home

if TYPE_CHECKING:
    from lockstep.generation.conversation import Assistant

LOADER = "model loader"  # name of the thread that loads the model while the first question is typed


def main() -> None:
    """Run the command. Raises LockstepError for what the user can put right."""
    arguments = argument_parser().parse_args()
    texts = {name: getattr(arguments, name) for name in SETTINGS}
    settings = {name: parse_setting(name, text) for name, text in texts.items() if text is not None}
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="replace")  # type: ignore[union-attr]
    if arguments.question is not None or arguments.json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        answer_without_terminal(arguments, settings)
    else:
        chat_with_model(arguments.model, arguments.revision, settings)
        exit_if_still_loading()


def argument_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = command_parser("stages.chat", __doc__)
    parser.add_argument("--question", metavar="TEXT", help="answer this one question and end")
    parser.add_argument(
        "--json", action="store_true", help="one JSON object for each answer: question, answer, finish, tokens"
    )
    model_help = f"a folder or a Hub id (default: {EXPORT})"
    parser.add_argument("--model", default=str(EXPORT), metavar="MODEL", help=model_help)
    parser.add_argument("--revision", metavar="COMMIT", help="which commit of a Hub id")
    group = parser.add_argument_group(
        "settings", "By default as the model was exported. /set changes them while you talk."
    )
    for name, setting in SETTINGS.items():
        flag = f"--{name.replace('_', '-')}"
        group.add_argument(flag, dest=name, metavar="N" if setting.kind is int else "X", help=setting.meaning)
    return parser


def chat_with_model(
    model: str = str(EXPORT), revision: str | None = None, settings: Mapping[str, int | float] | None = None
) -> None:
    """Talk in the terminal until the person leaves. settings: values by name, as /set takes them.

    Raises LockstepError when there is no such model or it can't be loaded.
    """
    from lockstep.artifacts.prompt import PROMPT_FILE, Prompt, read_prompt
    from lockstep.chat.session import Chat
    from lockstep.chat.terminal import TerminalScreen, talk

    check_model(model)
    folder = expand_home(model)
    if folder.is_dir():
        prompt = read_prompt(folder, "make export") if (folder / PROMPT_FILE).exists() else Prompt()
        screen = TerminalScreen(prompt.kind == "text")
        load_assistant = _load_in_background(model, screen.waiting)
    else:
        load_assistant = partial(_assistant, model, revision)
        screen = TerminalScreen(load_assistant().prompt.kind == "text")  # loaded now: a download shows its progress
    screen.greet(model)
    talk(Chat(load_assistant, screen, settings or {}), screen)


def generate_response(question: str, model: str = str(EXPORT), revision: str | None = None) -> str:
    """The answer to one question, or the continuation of a text, with the settings of the export.

    The first call loads the model and keeps it. Raises LockstepError when it can't be loaded.
    """
    check_model(model)
    from lockstep.generation.conversation import Conversation

    assistant = _assistant(model, revision)
    return "".join(Conversation(assistant, assistant.sampling).ask(question))


def exit_if_still_loading() -> None:
    """End at once where the model is still being loaded: nobody waits for it any more."""
    if any(thread.name == LOADER for thread in threading.enumerate()):
        sys.stdout.flush()
        os._exit(0)


def answer_without_terminal(arguments: argparse.Namespace, settings: Mapping[str, int | float]) -> None:
    """Answer --question, or each line of standard input."""
    from lockstep.chat.session import Chat
    from lockstep.chat.stdin import JsonScreen, TextScreen, answer_lines

    check_model(arguments.model)
    screen = JsonScreen() if arguments.json else TextScreen()
    chat = Chat(lambda: _assistant(arguments.model, arguments.revision), screen, settings)
    if arguments.question is None:
        answer_lines(chat, sys.stdin.buffer)
    else:
        chat.ask(arguments.question)


def check_model(model: str) -> None:
    """Raise LockstepError where a model folder is missing or incomplete, before anything heavy is imported."""
    from lockstep.chat.load_export import check_sizes
    from lockstep.pretrained.model_folder import is_folder

    config = expand_home(model) / "config.json"
    if config.is_file():
        check_sizes(config.parent)
        return
    if Path(model) == EXPORT:
        raise LockstepError(f"{EXPORT} holds no model yet.", "Run `make repro` first.")
    if is_folder(model):
        raise LockstepError(
            f"{model} is no model folder: {config} is missing.", "Give a folder that export made, or a Hub id."
        )


@cache
def _assistant(model: str, revision: str | None) -> "Assistant":
    from lockstep.chat.load_export import load_exported

    return load_exported(model, revision)


def _load_in_background(
    model: str, waiting: Callable[[str], AbstractContextManager[None]]
) -> "Callable[[], Assistant]":
    """Begin to load a model folder while the first question is typed; the function returned waits for the result.

    waiting: a context manager that shows a text while its block runs.
    """
    from concurrent.futures import Future

    loading: Future[Assistant] = Future()

    def load() -> None:
        try:
            assistant = _assistant(model, None)
            one_token = assistant.sampling.replace(max_new_tokens=1)
            next(assistant.engine.stream([0], one_token), None)  # the first step is slow
            loading.set_result(assistant)
        except BaseException as error:
            loading.set_exception(error)

    threading.Thread(target=load, name=LOADER, daemon=True).start()

    def assistant() -> "Assistant":
        if not loading.done():
            with waiting("loading the model ..."):
                return loading.result()
        return loading.result()

    return assistant


if __name__ == "__main__":
    run_command(main)
