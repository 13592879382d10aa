"""Many people's answers at once: one thread runs the model, and all answers in the making share each of its steps.

An answer joins at the next step boundary, leaves when it is done, and is the same token for token as if it had been
alone (see decoding.py). Who asks waits on a ticket; a place in the queue or in the batch is given back at once when
the ticket is cancelled.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue

from lockstep.generation.decoder import Row
from lockstep.generation.engine import Answer, Engine
from lockstep.generation.sampling import Sampling

FRAME_SECONDS = 0.04  # of tokens handed over together: 25 times a second looks fluent and leaves the model its time
JOINS = 8  # prompts that join between two steps, so that a rush does not hold up those being answered
GONE_SECONDS = 0.25  # how often a waiting person is checked to be there still

log = logging.getLogger("lockstep.batching")


class RefusedError(Exception):
    """No answer, or no whole one. reason: 'full', 'stopping', 'late' or 'failed'."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class GoneError(Exception):
    """The person who asked has left."""


class Ticket:
    """An answer that somebody waits for. Iterate `pieces` once; `answer` fills up meanwhile."""

    def __init__(self, scheduler: "Scheduler", prompt: list[int], sampling: Sampling, seconds: float) -> None:
        self.prompt, self.sampling = prompt, sampling
        self.answer = Answer()
        self.asked = time.monotonic()
        self.deadline = self.asked + seconds
        self.first: float | None = None  # seconds until the first token
        self.cancelled = False
        self._scheduler = scheduler
        self._spelling = scheduler.engine.spelling(self.answer, sampling)
        self._frames: SimpleQueue[tuple[list[int], bool, str | None]] = SimpleQueue()
        self._tokens: list[int] = []  # not handed over yet; touched by the model's thread only
        self._handed = 0.0

    def pieces(self, gone: Callable[[], bool] = lambda: False) -> Iterator[str]:
        """The answer as it is made. gone: says whether nobody listens any more.

        Raises RefusedError when the answer is broken off, GoneError when nobody listens. However it ends, the place
        is freed.
        """
        try:
            while not self._spelling.ended:
                try:
                    tokens, last, refused = self._frames.get(timeout=GONE_SECONDS)
                except Empty:
                    tokens, last, refused = [], False, None
                if gone():
                    raise GoneError
                piece = self._spelling.add(tokens, last) if tokens or last else ""
                if piece:
                    yield piece
                if refused and not self._spelling.ended:
                    raise RefusedError(refused)
        finally:
            self.cancel()

    def cancel(self) -> None:
        """Give the place back. Called again, or after the end, it changes nothing."""
        self.cancelled = True
        self._scheduler.forget(self)

    def put(self, token: int, last: bool) -> None:
        """Take the newest token; hand over what has gathered when it is time. For the model's thread."""
        self._tokens.append(token)
        now = time.monotonic()
        if self.first is None:
            self.first = now - self.asked
        if last or now - self._handed >= FRAME_SECONDS:
            self._handed = now
            self._frames.put((self._tokens, last, None))
            self._tokens = []

    def end(self, refused: str | None = None) -> None:
        """End before the model does: as cut short, or as refused for a reason."""
        self._frames.put((self._tokens, refused is None, refused))
        self._tokens = []


class Scheduler:
    """Takes in prompts, runs the model in its own thread, hands out tokens.

    places: answers in the making at most. queue: tickets that may wait for a place.
    """

    def __init__(self, engine: Engine, places: int, queue: int) -> None:
        self.engine, self.places, self.queue = engine, places, queue
        self._changed = threading.Condition()
        self._waiting: deque[Ticket] = deque()
        self._going: dict[Row, Ticket] = {}
        self._decoder = engine.decoder()
        self._stopping = False
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    def submit(self, prompt: list[int], sampling: Sampling, seconds: float) -> Ticket:
        """Ask for an answer, to be done within so many seconds.

        prompt: shorter than the model's context.
        Raises RefusedError: 'full' when places and queue are taken, 'stopping' when the server stops.
        """
        assert 0 < len(prompt) < self.engine.context
        ticket = Ticket(self, prompt, sampling, seconds)
        with self._changed:
            if self._stopping:
                raise RefusedError("stopping")
            if len(self._waiting) + len(self._going) >= self.places + self.queue:
                raise RefusedError("full")
            self._waiting.append(ticket)
            self._changed.notify_all()
        return ticket

    def forget(self, ticket: Ticket) -> None:
        """Take a cancelled ticket out of the queue; one in the making leaves at the next step."""
        with self._changed:
            if ticket in self._waiting:
                self._waiting.remove(ticket)

    def load(self) -> tuple[int, int]:
        """How many are being answered, and how many wait."""
        return len(self._going), len(self._waiting)

    @property
    def stopping(self) -> bool:
        """Whether new questions are refused because the server stops."""
        return self._stopping

    def stop(self, grace: float) -> None:
        """Take no more questions; give those asked so many seconds, then end them as 'stopping'."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        until = time.monotonic() + grace
        while time.monotonic() < until and any(self.load()):
            time.sleep(0.02)
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._ended or self._waiting or self._going):
                    self._changed.wait()
                if self._ended:
                    break
            try:
                self._leave()
                self._join()
                self._step()
            except Exception:
                log.exception("the model failed")
                self._refuse_all("failed")
                self._decoder = self.engine.decoder()
        self._refuse_all("stopping")

    def _leave(self) -> None:
        """Let go of answers nobody wants any more, or whose time is over."""
        now = time.monotonic()
        for row, ticket in list(self._going.items()):
            if ticket.cancelled or ticket.deadline <= now:
                self._drop(row)
                ticket.end()
        with self._changed:
            late = [ticket for ticket in self._waiting if ticket.deadline <= now]
            for ticket in late:
                self._waiting.remove(ticket)
        for ticket in late:
            ticket.end("late")

    def _join(self) -> None:
        for _ in range(min(JOINS, self.places - len(self._going))):
            with self._changed:
                if not self._waiting:
                    return
                ticket = self._waiting[0]
            row = self._decoder.join(ticket.prompt, ticket.sampling)
            with self._changed:  # it leaves the queue only now, so that its place is counted all the time
                self._going[row] = ticket
                if ticket in self._waiting:
                    self._waiting.remove(ticket)
            self._hand_out(row, ticket)

    def _step(self) -> None:
        for row in self._decoder.step():
            self._hand_out(row, self._going[row])

    def _hand_out(self, row: Row, ticket: Ticket) -> None:
        if row.finish is not None:
            self._drop(row)
        ticket.put(row.token, row.finish is not None)

    def _drop(self, row: Row) -> None:
        self._decoder.leave(row)
        with self._changed:
            del self._going[row]

    def _refuse_all(self, reason: str) -> None:
        with self._changed:
            tickets = [*self._going.values(), *self._waiting]
            self._going.clear()
            self._waiting.clear()
        for ticket in tickets:
            ticket.end(reason)
