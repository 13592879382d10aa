"""The bodies of requests to the API: JSON whose every field is checked before anything is done with it."""

import json
from typing import Annotated, Any, Literal, NoReturn, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from lockstep.server.errors import ApiError


def _whole_characters(text: str) -> str:
    """The text. Raises ValueError for a lone surrogate, which JSON can spell and UTF-8 can't hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("the text holds half a character (a lone surrogate)") from None
    return text


Text = Annotated[str, AfterValidator(_whole_characters)]
StopString = Annotated[Text, Field(min_length=1, max_length=200)]


class Fields(BaseModel):
    """Fields of exact types (no "0.7" for 0.7); unknown fields are skipped, as clients send many."""

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False, frozen=True)


class TextPart(Fields):
    """One part of a message; only text is accepted."""

    type: Literal["text"]
    text: Text


class Message(Fields):
    """One message. Those of system and developer are not shown to the model: its template has no place for them."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Text | list[TextPart] | None = None

    @property
    def text(self) -> str:
        """The content as one text."""
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or ""


class StreamOptions(Fields):
    """Options of a stream. include_usage: send the numbers of tokens in a last event."""

    include_usage: bool = False


class SamplingFields(Fields):
    """Fields that both endpoints share; None = as the model was exported. top_k, repetition_penalty: not OpenAI's."""

    model: Text | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=10)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    repetition_penalty: Annotated[float, Field(ge=0.1, le=10)] | None = None
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] | None = None
    stop: StopString | Annotated[list[StopString], Field(max_length=4)] | None = None
    # These are accepted at their neutral value only; any other is refused, not skipped.
    n: Literal[1] | None = None
    frequency_penalty: Annotated[float, Field(ge=0, le=0)] | None = None
    presence_penalty: Annotated[float, Field(ge=0, le=0)] | None = None

    @property
    def stop_strings(self) -> tuple[str, ...]:
        """The strings that end an answer."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())


class ChatRequest(SamplingFields):
    """Body of /v1/chat/completions. history_turns (not OpenAI's): earlier turns the model is shown."""

    messages: Annotated[list[Message], Field(min_length=1)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    history_turns: Annotated[int, Field(ge=0, le=1000)] | None = None
    logprobs: Literal[False] | None = None
    tools: Annotated[list[Any], Field(max_length=0)] | None = None

    @property
    def limit(self) -> int | None:
        """Maximum number of tokens of the answer."""
        return self.max_completion_tokens or self.max_tokens


class CompletionRequest(SamplingFields):
    """Body of /v1/completions: a text, or the ids of one, to continue."""

    prompt: Text | Annotated[list[Text], Field(min_length=1, max_length=1)] | Annotated[list[int], Field(min_length=1)]
    logprobs: Literal[0] | None = None
    echo: Literal[False] | None = None
    best_of: Literal[1] | None = None
    suffix: Literal[""] | None = None

    @property
    def limit(self) -> int | None:
        """Maximum number of tokens of the answer."""
        return self.max_tokens


class CorrectionRequest(Fields):
    """Body of /api/corrections: a person's verdict on an answer."""

    question: Annotated[Text, Field(min_length=1)]
    answer: Annotated[Text, Field(min_length=1)]
    verdict: Literal["good", "bad", "fixed"]


Body = TypeVar("Body", bound=Fields)


def parse_request(kind: type[Body], body: bytes) -> Body:
    """The body as checked fields. Raises ApiError 400 that names the first wrong field and what is wrong with it."""
    try:
        values = json.loads(body.decode(), parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise ApiError(400, "The body is not valid UTF-8.", "invalid_utf8") from None
    except (ValueError, RecursionError):
        raise ApiError(400, "The body is not valid JSON.", "invalid_json") from None
    if not isinstance(values, dict):
        raise ApiError(400, "The body must be a JSON object.", "invalid_json")
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(str(part) for part in problem["loc"][:2] if isinstance(part, int) or part in values) or str(
            problem["loc"][0]
        )
        reason = problem["msg"].removeprefix("Value error, ")
        raise ApiError(400, f"{field}: {reason[0].lower()}{reason[1:]}.", "invalid_field", field) from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
