"""What the server needs to answer a request: the model, the scheduler that shares it, and the time limit."""

import secrets
from dataclasses import dataclass

from lockstep.generation.conversation import Assistant, Turn, num_truncated_tokens, prompt_ids, recent_turns
from lockstep.generation.sampling import Sampling
from lockstep.pretrained.tokenizer import encode, opening_ids
from lockstep.server.errors import ApiError, api_error
from lockstep.server.requests import ChatRequest, CompletionRequest, SamplingFields
from lockstep.server.scheduler import GenerationRequest, RefusedError, Scheduler


@dataclass(frozen=True, slots=True)
class Service:
    """The model as the API serves it.

    seconds: for one answer, waiting included. started: when the server began, in seconds since 1970.
    """

    assistant: Assistant
    scheduler: Scheduler
    seconds: float
    started: int

    def submit_chat(self, request: ChatRequest) -> tuple[GenerationRequest, int]:
        """Begin to answer the last message; also returns how many tokens the question lost at its beginning.

        Raises ApiError when the request can't be met or the server is full.
        """
        self.check_model(request.model)
        turns, question = split_messages(request)
        sampling = self._sampling(request, request.limit)
        shown = recent_turns(self.assistant, turns, request.history_turns)
        prompt = prompt_ids(self.assistant, shown, question, sampling.max_new_tokens)
        return self._submit(prompt, sampling), num_truncated_tokens(self.assistant, question, sampling.max_new_tokens)

    def submit_completion(self, request: CompletionRequest) -> GenerationRequest:
        """Begin to continue a text, without the template. Raises ApiError as submit_chat does, and for a text longer
        than the context."""
        self.check_model(request.model)
        ids = self._completion_ids(request)
        context = self.assistant.engine.context
        if len(ids) >= context:
            message = f"prompt: {len(ids)} tokens; the model looks back at {context}, the answer's included."
            raise ApiError(400, message, "context_length_exceeded", "prompt")
        return self._submit(ids, self._sampling(request, request.limit))

    def check_model(self, name: str | None) -> None:
        """Raise ApiError 404 unless this is the model here."""
        if name is not None and name != self.assistant.name:
            message = f"The model {name[:100]!r} is not here; {self.assistant.name!r} is."
            raise ApiError(404, message, "model_not_found", "model")

    def _completion_ids(self, request: CompletionRequest) -> list[int]:
        tokenizer, prompt = self.assistant.tokenizer, request.prompt
        if isinstance(prompt, list) and isinstance(prompt[0], int):
            ids = [token for token in prompt if isinstance(token, int)]
            vocabulary = self.assistant.engine.model.config.get_text_config().vocab_size
            if not all(0 <= token < vocabulary for token in ids):
                raise ApiError(400, f"prompt: token ids are 0 to {vocabulary - 1} here.", "invalid_field", "prompt")
            return ids
        text = prompt if isinstance(prompt, str) else str(prompt[0])
        ids = opening_ids(tokenizer) + encode(tokenizer, [text])[0] or [tokenizer.eos_token_id]
        if self.assistant.prompt.kind == "text" and not opening_ids(tokenizer):
            ids = [tokenizer.eos_token_id] + [token for token in ids if text]  # as texts begin in training
        return ids

    def _sampling(self, request: SamplingFields, limit: int | None) -> Sampling:
        """The exported settings, changed where the request says so. Without a seed, each draw is another."""
        context = self.assistant.engine.context
        if limit is not None and limit > context:
            message = f"max_tokens: at most {context} here, the model's context."
            raise ApiError(400, message, "invalid_field", "max_tokens")
        changes = {
            "max_new_tokens": limit,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "top_k": request.top_k,
            "repetition_penalty": request.repetition_penalty,
            "seed": secrets.randbits(32) if request.seed is None else request.seed,
            "stop": request.stop_strings,
        }
        changes = {name: value for name, value in changes.items() if value is not None}
        return self.assistant.sampling.replace(**changes)

    def _submit(self, prompt: list[int], sampling: Sampling) -> GenerationRequest:
        try:
            return self.scheduler.submit(prompt, sampling, self.seconds)
        except RefusedError as refused:
            raise api_error(refused, self.seconds) from None


def split_messages(request: ChatRequest) -> tuple[list[Turn], str]:
    """The earlier turns of a chat and its newest question.

    Consecutive messages of the same role are joined; system messages are skipped.
    Raises ApiError when the last message is not the user's.
    """
    messages: list[tuple[str, str]] = []  # role, text
    for message in request.messages:
        if message.role in ("system", "developer"):
            continue
        if messages and messages[-1][0] == message.role:
            messages[-1] = (message.role, f"{messages[-1][1]}\n{message.text}")
        else:
            messages.append((message.role, message.text))
    if not messages or messages[-1][0] != "user":
        raise ApiError(400, "messages: the last one must be the user's.", "invalid_field", "messages")
    if not messages[-1][1].strip():
        raise ApiError(400, "messages: the last one is empty.", "invalid_field", "messages")
    earlier = messages[1:-1] if messages[0][0] == "assistant" else messages[:-1]
    pairs = zip(earlier[::2], earlier[1::2], strict=True)
    return [Turn(question, answer) for (_, question), (_, answer) in pairs], messages[-1][1]
