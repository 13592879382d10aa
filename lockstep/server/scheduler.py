"""Continuous batching: one thread runs the model, and all requests being answered share each of its steps.

A request joins the batch at the next step, leaves it when its answer is finished, and gets the same tokens as if it
were alone, see generation.decoder. Its place in the batch or the queue is free again as soon as it is cancelled.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue

from lockstep.generation.decoder import Sequence
from lockstep.generation.engine import Answer, Engine
from lockstep.generation.sampling import Sampling

FLUSH_SECONDS = 0.04  # between two deliveries of tokens: 25 a second look fluent and leave the model its time
MAX_PREFILLS = 8  # prompts that join between two steps, so that a rush does not hold up those being answered
POLL_SECONDS = 0.25  # between two checks whether the client is still connected
DRAIN_SECONDS = 0.02  # between two checks whether all answers have ended at a stop

log = logging.getLogger("lockstep.scheduler")


class RefusedError(Exception):
    """A request was refused, or its answer ended early. reason: 'full', 'stopping', 'late' or 'failed'."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ClientGoneError(Exception):
    """The client that waits for an answer has disconnected."""


class GenerationRequest:
    """A prompt to be answered, and the answer as far as it is generated.

    Iterate stream() once; `answer` fills up meanwhile. seconds: for the whole answer, waiting included.
    """

    def __init__(self, scheduler: "Scheduler", prompt: list[int], sampling: Sampling, seconds: float) -> None:
        self.prompt, self.sampling = prompt, sampling
        self.answer = Answer()
        self.submitted = time.monotonic()
        self.deadline = self.submitted + seconds
        self.first_token_seconds: float | None = None  # from submission to the first token
        self.cancelled = False
        self._scheduler = scheduler
        self._detokenizer = scheduler.engine.detokenizer(self.answer, sampling)
        self._deliveries: SimpleQueue[tuple[list[int], bool, str | None]] = SimpleQueue()  # tokens, last, refusal
        self._undelivered: list[int] = []  # tokens; touched by the model's thread only
        self._delivered_at = 0.0

    def stream(self, is_gone: Callable[[], bool] = lambda: False) -> Iterator[str]:
        """The answer in text chunks while it is generated. is_gone: whether the client has disconnected.

        Raises RefusedError when the answer is broken off, ClientGoneError when the client has disconnected. However it
        ends, the place in the batch is freed.
        """
        try:
            while not self._detokenizer.finished:
                try:
                    tokens, last, refusal = self._deliveries.get(timeout=POLL_SECONDS)
                except Empty:
                    tokens, last, refusal = [], False, None
                if is_gone():
                    raise ClientGoneError
                chunk = self._detokenizer.push(tokens, last) if tokens or last else ""
                if chunk:
                    yield chunk
                if refusal and not self._detokenizer.finished:
                    raise RefusedError(refusal)
        finally:
            self.cancel()

    def cancel(self) -> None:
        """Give the place back. Called again, or after the end, it changes nothing."""
        self.cancelled = True
        self._scheduler.forget(self)

    def put(self, token: int, last: bool) -> None:
        """Buffer a token, and deliver the buffer when it is due. Called on the model's thread."""
        self._undelivered.append(token)
        now = time.monotonic()
        if self.first_token_seconds is None:
            self.first_token_seconds = now - self.submitted
        if last or now - self._delivered_at >= FLUSH_SECONDS:
            self._delivered_at = now
            self._deliver(last, None)

    def end(self, refusal: str | None = None) -> None:
        """End before the model does: with the answer cut short, or refused for a reason of RefusedError."""
        self._deliver(refusal is None, refusal)

    def _deliver(self, last: bool, refusal: str | None) -> None:
        self._deliveries.put((self._undelivered, last, refusal))
        self._undelivered = []


class Scheduler:
    """Takes requests, runs the model in a thread of its own, and hands out tokens.

    max_batch_size: requests answered at the same time. max_waiting: requests that may wait for a place in the batch.
    """

    def __init__(self, engine: Engine, max_batch_size: int, max_waiting: int) -> None:
        self.engine, self.max_batch_size, self.max_waiting = engine, max_batch_size, max_waiting
        self._changed = threading.Condition()
        self._waiting: deque[GenerationRequest] = deque()
        self._running: dict[Sequence, GenerationRequest] = {}
        self._decoder = engine.decoder()
        self._stopping = False
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    def submit(self, prompt: list[int], sampling: Sampling, seconds: float) -> GenerationRequest:
        """Ask for an answer, to be finished within so many seconds.

        prompt: ids, at least one and fewer than the model's context.
        Raises RefusedError: 'full' when batch and queue are taken, 'stopping' when the server stops.
        """
        assert 0 < len(prompt) < self.engine.context
        request = GenerationRequest(self, prompt, sampling, seconds)
        with self._changed:
            if self._stopping:
                raise RefusedError("stopping")
            if len(self._waiting) + len(self._running) >= self.max_batch_size + self.max_waiting:
                raise RefusedError("full")
            self._waiting.append(request)
            self._changed.notify_all()
        return request

    def forget(self, request: GenerationRequest) -> None:
        """Take a cancelled request out of the queue; one in the batch leaves at the next step."""
        with self._changed:
            if request in self._waiting:
                self._waiting.remove(request)

    def load(self) -> tuple[int, int]:
        """Number of requests being answered, and of those waiting."""
        return len(self._running), len(self._waiting)

    @property
    def stopping(self) -> bool:
        """Whether new requests are refused because the server stops."""
        return self._stopping

    def stop(self, grace: float) -> None:
        """Refuse new requests, give the present ones `grace` seconds, then end them as 'stopping'."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        until = time.monotonic() + grace
        while time.monotonic() < until and any(self.load()):
            time.sleep(DRAIN_SECONDS)
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._ended or self._waiting or self._running):
                    self._changed.wait()
                if self._ended:
                    break
            try:
                self._end_cancelled_and_late()
                self._prefill()
                self._step()
            except Exception:
                log.exception("the model failed")
                self._refuse_all("failed")
                self._decoder = self.engine.decoder()
        self._refuse_all("stopping")

    def _end_cancelled_and_late(self) -> None:
        now = time.monotonic()
        for sequence, request in list(self._running.items()):
            if request.cancelled or request.deadline <= now:
                self._remove(sequence)
                request.end()
        with self._changed:
            late = [request for request in self._waiting if request.deadline <= now]
            for request in late:
                self._waiting.remove(request)
        for request in late:
            request.end("late")

    def _prefill(self) -> None:
        """Let waiting requests join the batch."""
        for _ in range(min(MAX_PREFILLS, self.max_batch_size - len(self._running))):
            with self._changed:
                if not self._waiting:
                    return
                request = self._waiting[0]
            sequence = self._decoder.add(request.prompt, request.sampling)
            with self._changed:  # it leaves the queue only now, so that its place is counted all the time
                self._running[sequence] = request
                if request in self._waiting:
                    self._waiting.remove(request)
            self._hand_out(sequence, request)

    def _step(self) -> None:
        for sequence in self._decoder.step():
            self._hand_out(sequence, self._running[sequence])

    def _hand_out(self, sequence: Sequence, request: GenerationRequest) -> None:
        if sequence.finish_reason is not None:
            self._remove(sequence)
        request.put(sequence.token, sequence.finish_reason is not None)

    def _remove(self, sequence: Sequence) -> None:
        self._decoder.remove(sequence)
        with self._changed:
            del self._running[sequence]

    def _refuse_all(self, reason: str) -> None:
        with self._changed:
            requests = [*self._running.values(), *self._waiting]
            self._running.clear()
            self._waiting.clear()
        for request in requests:
            request.end(reason)
