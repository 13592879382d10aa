"""The commands of the chat: the table of them, and how a typed line becomes a command or a question.

Another command means one entry in COMMANDS and, if it does something new, one method of session.Chat.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lockstep.chat.session import Chat
from lockstep.chat.settings import SETTINGS
from lockstep.core.errors import LockstepError, did_you_mean
from lockstep.core.paths import expand_home

COMMAND_LINE = re.compile(r"/([A-Za-z_]+)(?:\s+(.*))?", re.DOTALL)
HELP_ALIASES = ("/", "/?")
EXIT_WORDS = ("exit", "quit")  # end the chat with and without a slash

KEYS = [
    ("Enter", "send; Alt-Enter or Ctrl-J begins a new line"),
    ("Ctrl-C", "stop the answer, or empty the line"),
    ("Up, Ctrl-R", "earlier lines, also of earlier chats"),
]


def handle_line(chat: Chat, line: str) -> bool:
    """Run the command in a line, or ask it as a question. False when the line ends the chat.

    Raises LockstepError for an unknown command, and whatever the command raises.
    """
    if line.strip().lower() in EXIT_WORDS:
        return False
    line = "/help" if line.strip() in HELP_ALIASES else line
    match = COMMAND_LINE.fullmatch(line.rstrip())
    if not match:
        chat.ask(line)
        return True
    name, text = match[1].lower(), (match[2] or "").strip()
    if name in EXIT_WORDS:
        return False
    if name not in COMMANDS:
        hint = did_you_mean(name, COMMANDS, "; did you mean /", cutoff=0.5) or "."
        raise LockstepError(f"There is no /{name}{hint}", "/help lists the commands.")
    COMMANDS[name].run(chat, text)
    return True


def show_help(chat: Chat, _: str) -> None:
    """List the commands and, where a person types, the keys."""
    rows = [(f"/{name} {command.arguments}".rstrip(), command.meaning) for name, command in COMMANDS.items()]
    chat.screen.table([*rows, *(KEYS if chat.screen.is_interactive else [])])


def set_setting(chat: Chat, text: str) -> None:
    """Show the settings, or change one: `name value`, `name=value`, with `-` or `_` in the name."""
    name, _, value = text.replace("=", " ", 1).partition(" ")
    name = name.replace("-", "_").lower()
    if not name:
        chat.show_settings()
    elif not value.strip() and name in SETTINGS:
        raise LockstepError(f"/set {name} needs a value: {SETTINGS[name].allowed}.")
    else:
        chat.change_setting(name, value.strip())


def save(chat: Chat, text: str) -> None:
    """Write the conversation to the file that the text names."""
    if not text:
        raise LockstepError("/save needs a file name.", "The ending chooses the form: .md, .json or .jsonl.")
    chat.save(expand_home(text))


@dataclass(frozen=True, slots=True)
class Command:
    """A chat command.

    arguments: what follows its name. meaning: one line of help. run: gets the text after the name, stripped.
    """

    arguments: str
    meaning: str
    run: Callable[[Chat, str], None]


COMMANDS: Mapping[str, Command] = {
    "help": Command("", "this list", show_help),
    "reset": Command("", "forget the conversation and begin anew", lambda chat, _: chat.reset()),
    "retry": Command("", "answer the last question again, differently", lambda chat, _: chat.retry()),
    "undo": Command("", "take back the last question and its answer", lambda chat, _: chat.undo()),
    "set": Command("NAME VALUE", "change a setting; /set alone lists them", set_setting),
    "save": Command("FILE", "write the conversation to FILE: .md, .json or .jsonl", save),
    "good": Command("", "the last answer is right: learn it", lambda chat, _: chat.mark_good()),
    "bad": Command("", "the last answer is wrong: never learn it", lambda chat, _: chat.mark_bad()),
    "fix": Command(
        "TEXT", "what the last answer should have been; /fix alone lets you edit it", lambda chat, text: chat.fix(text)
    ),
    "quit": Command("", "end the chat; so do exit, quit and Ctrl-D", lambda chat, _: None),  # see EXIT_WORDS
}
