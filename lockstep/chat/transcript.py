"""A conversation as a file: Markdown to read, JSON with the settings, or JSON Lines that can be trained on."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from lockstep.core.atomic_files import write_json, write_json_lines, write_text
from lockstep.core.errors import LockstepError

if TYPE_CHECKING:
    from lockstep.generation.conversation import Conversation


def save_transcript(path: Path, conversation: "Conversation") -> None:
    """Write all turns, whole or not at all, in the format that the suffix of `path` names.

    Raises LockstepError for an unknown suffix or where the file can't be written.
    """
    suffix = path.suffix.lower()
    turns = [asdict(turn) for turn in conversation.turns]
    if suffix == ".json":
        write_json(
            path, {"model": conversation.assistant.name, "settings": asdict(conversation.sampling), "turns": turns}
        )
    elif suffix == ".jsonl":
        write_json_lines(path, turns)
    elif suffix in ("", ".md", ".txt"):
        write_text(path, _markdown(conversation))
    else:
        raise LockstepError(f"{path}: a conversation is saved as .md, .json or .jsonl, not {suffix}.")


def _markdown(conversation: "Conversation") -> str:
    parts = [f"# A conversation with {conversation.assistant.name}\n"]
    for turn in conversation.turns:
        if conversation.assistant.prompt.kind == "text":
            parts.append(turn.question + turn.answer + "\n")
        else:
            parts.append(f"**You:** {turn.question}\n\n**Model:** {turn.answer}\n")
    return "\n".join(parts)
