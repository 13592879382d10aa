"""The settings of answers that a person may change in a chat: names, bounds, meanings, and how they are parsed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lockstep.core.errors import LockstepError, did_you_mean

if TYPE_CHECKING:
    from lockstep.generation.conversation import Conversation


@dataclass(frozen=True, slots=True)
class Setting:
    """A numeric setting.

    meaning: one line of help. kind: int or float. low, high: the least and the greatest value, both allowed.
    zero: whether 0 is allowed too, though below `low`.
    """

    meaning: str
    kind: type[int] | type[float]
    low: float
    high: float
    zero: bool = False

    @property
    def allowed(self) -> str:
        """The allowed values in words."""
        number = "a whole number" if self.kind is int else "a number"
        return f"{'0 or ' if self.zero else ''}{number} from {self.low:g} to {self.high:.10g}"


SETTINGS: Mapping[str, Setting] = {
    "temperature": Setting("0 takes the likeliest word each time; 0.7 is livelier", float, 0.01, 10, zero=True),
    "top_p": Setting(
        "with a temperature: draw from the likeliest words that hold this much probability", float, 0.01, 1
    ),
    "top_k": Setting("with a temperature: draw from this many words; 0 = all", int, 0, 1_000_000),
    "max_new_tokens": Setting("tokens of an answer at most", int, 1, 1_000_000),
    "repetition_penalty": Setting("above 1: words already said become less likely", float, 0.1, 10),
    "seed": Setting("with a temperature: the same seed draws the same answer", int, 0, 2**32 - 1),
    "history": Setting("earlier turns the model is shown; 0 = each question by itself", int, 0, 1000),
}


def parse_setting(name: str, text: str) -> int | float:
    """The value of a setting that a person wrote. Raises LockstepError naming what is allowed."""
    setting = SETTINGS.get(name)
    if setting is None:
        hint = did_you_mean(name.lower(), SETTINGS, "; did you mean ", cutoff=0.5) or "."
        raise LockstepError(f"There is no setting {name}{hint}", f"Settings: {', '.join(SETTINGS)}.")
    try:
        value = setting.kind(text)
    except ValueError:
        value = math.nan
    if not (setting.low <= value <= setting.high or (setting.zero and value == 0)):
        raise LockstepError(f"{name} = {text}: allowed is {setting.allowed}.")
    return value


def change(conversation: "Conversation", name: str, value: int | float) -> None:
    """Change one setting of a conversation. Raises LockstepError where the model has no use for it."""
    if name != "history":
        conversation.sampling = conversation.sampling.replace(**{name: value})
    elif conversation.assistant.prompt.kind == "text":
        raise LockstepError("This model continues texts: it is shown no earlier turns, so history can't be set.")
    else:
        conversation.history_turns = int(value)


def current(conversation: "Conversation", name: str) -> int | float:
    """The value of one setting."""
    if name != "history":
        return getattr(conversation.sampling, name)
    return conversation.assistant.history_turns if conversation.history_turns is None else conversation.history_turns
