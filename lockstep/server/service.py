"""What the server needs to answer a request: the model, the scheduler that shares it, and the limits."""

import secrets
from dataclasses import dataclass

from lockstep.generation.conversation import Assistant, Turn, prompt_ids, tokens_cut
from lockstep.generation.sampling import Sampling
from lockstep.pretrained.tokenizer import encode, opening_ids
from lockstep.server.errors import ApiError, refusal
from lockstep.server.requests import ChatRequest, CompletionRequest, Generation
from lockstep.server.scheduler import RefusedError, Scheduler, Ticket


@dataclass(frozen=True, slots=True)
class Service:
    """seconds: an answer may take from question to end. started: when the server began, seconds since 1970."""

    assistant: Assistant
    scheduler: Scheduler
    seconds: float
    started: int

    def ask(self, request: ChatRequest) -> tuple[Ticket, int]:
        """Begin an answer to the last message; returns its ticket and the tokens the question lost at its beginning.

        Raises ApiError when the request can't be met or nobody has time for it.
        """
        self.check_model(request.model)
        turns, question = turns_of(request)
        sampling = self._sampling(request, request.limit)
        count = self.assistant.history_turns if request.history_turns is None else request.history_turns
        shown = turns[-count:] if count and self.assistant.prompt.kind == "qa" else []
        prompt = prompt_ids(self.assistant, shown, question, sampling.max_new_tokens)
        return self._submit(prompt, sampling), tokens_cut(self.assistant, question, sampling.max_new_tokens)

    def complete(self, request: CompletionRequest) -> Ticket:
        """Begin to go on from a text, without the template. Raises ApiError as ask does, and for too long a text."""
        self.check_model(request.model)
        engine, tokenizer = self.assistant.engine, self.assistant.tokenizer
        given = request.prompt
        if isinstance(given, list) and isinstance(given[0], int):
            ids = [token for token in given if isinstance(token, int)]
            vocabulary = engine.model.config.get_text_config().vocab_size
            if not all(0 <= token < vocabulary for token in ids):
                raise ApiError(400, f"prompt: token ids are 0 to {vocabulary - 1} here.", "invalid_field", "prompt")
        else:
            text = given if isinstance(given, str) else str(given[0])
            ids = opening_ids(tokenizer) + encode(tokenizer, [text])[0] or [tokenizer.eos_token_id]
            if self.assistant.prompt.kind == "text" and not opening_ids(tokenizer):
                ids = [tokenizer.eos_token_id] + [token for token in ids if text]  # as texts begin in training
        if len(ids) >= engine.context:
            message = f"prompt: {len(ids)} tokens; the model looks back at {engine.context}, the answer's included."
            raise ApiError(400, message, "context_length_exceeded", "prompt")
        return self._submit(ids, self._sampling(request, request.limit))

    def check_model(self, name: str | None) -> None:
        """Raise ApiError 404 unless this is the model here."""
        if name is not None and name != self.assistant.name:
            message = f"The model {name[:100]!r} is not here; {self.assistant.name!r} is."
            raise ApiError(404, message, "model_not_found", "model")

    def _sampling(self, request: Generation, limit: int | None) -> Sampling:
        """The exported settings, changed where the request says so. Without a seed every draw is another."""
        context = self.assistant.engine.context
        if limit is not None and limit > context:
            message = f"max_tokens: at most {context} here, the model's context."
            raise ApiError(400, message, "invalid_field", "max_tokens")
        wanted = {
            "max_new_tokens": limit,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "top_k": request.top_k,
            "repetition_penalty": request.repetition_penalty,
            "seed": secrets.randbits(32) if request.seed is None else request.seed,
            "stop": request.stops,
        }
        return self.assistant.sampling.but(**{name: value for name, value in wanted.items() if value is not None})

    def _submit(self, prompt: list[int], sampling: Sampling) -> Ticket:
        try:
            return self.scheduler.submit(prompt, sampling, self.seconds)
        except RefusedError as refused:
            raise refusal(refused, self.seconds) from None


def turns_of(request: ChatRequest) -> tuple[list[Turn], str]:
    """Earlier turns and the newest question of a chat.

    Messages one after the other from the same side belong together; system messages are passed over.
    Raises ApiError when the last word is not the user's.
    """
    said: list[tuple[str, str]] = []
    for message in request.messages:
        if message.role in ("system", "developer"):
            continue
        if said and said[-1][0] == message.role:
            said[-1] = (message.role, f"{said[-1][1]}\n{message.text}")
        else:
            said.append((message.role, message.text))
    if not said or said[-1][0] != "user":
        raise ApiError(400, "messages: the last one must be the user's.", "invalid_field", "messages")
    if not said[-1][1].strip():
        raise ApiError(400, "messages: the last one is empty.", "invalid_field", "messages")
    earlier = said[1:-1] if said[0][0] == "assistant" else said[:-1]
    pairs = zip(earlier[::2], earlier[1::2], strict=True)
    return [Turn(question, answer) for (_, question), (_, answer) in pairs], said[-1][1]
