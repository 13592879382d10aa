"""Many requests at once: answers equal to those given alone, and places that come free."""

from collections.abc import Iterator

import pytest
from serving import alone, assistant, engine, eventually, slow_down

from lockstep.generation.conversation import Conversation
from lockstep.generation.decoder import Decoder
from lockstep.generation.sampling import Sampling
from lockstep.server.scheduler import RefusedError, Scheduler

LONG = Sampling(max_new_tokens=400, repetition_penalty=1.2)


MIXED = [
    Sampling(
        max_new_tokens=5 + 3 * n, repetition_penalty=1.1 + n / 20, temperature=(0.0, 0.9)[n % 2], top_p=0.9, seed=n
    )
    for n in range(12)
]


PROMPTS = [list(range(1 + n, 4 + 5 * n)) for n in range(12)]


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    scheduler = Scheduler(engine(), max_batch_size=2, max_waiting=1)
    yield scheduler
    scheduler.stop(0)


def test_answers_of_a_crowd_are_those_given_alone_token_for_token() -> None:
    crowd = Scheduler(engine(), max_batch_size=5, max_waiting=12)
    requests = [crowd.submit(prompt, sampling, 60) for prompt, sampling in zip(PROMPTS, MIXED, strict=True)]
    texts = ["".join(request.stream()) for request in requests]
    crowd.stop(0)
    expected = [alone(prompt, sampling) for prompt, sampling in zip(PROMPTS, MIXED, strict=True)]
    assert texts == [answer.text for answer in expected]
    assert [request.answer for request in requests] == expected
    assert len({answer.text for answer in expected}) == 12


def test_sixty_four_at_once_get_what_one_alone_gets() -> None:
    crowd = Scheduler(engine(), max_batch_size=64, max_waiting=0)
    model = assistant()
    prompts = [Conversation(model, model.sampling).prompt_ids(f"what is {n}?") for n in range(64)]
    requests = [crowd.submit(prompt, model.sampling.replace(max_new_tokens=20), 60) for prompt in prompts]
    texts = ["".join(request.stream()) for request in requests]
    crowd.stop(0)
    assert texts == ["".join(engine().stream(prompt, model.sampling.replace(max_new_tokens=20))) for prompt in prompts]


def test_a_full_queue_refuses_and_a_cancelled_request_frees_its_place(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_down(monkeypatch)
    requests = [scheduler.submit([5, 6], LONG, 60) for _ in range(3)]
    assert eventually(lambda: scheduler.load() == (2, 1))
    with pytest.raises(RefusedError, match="full"):
        scheduler.submit([5, 6], LONG, 60)
    requests[2].cancel()
    assert scheduler.load() == (2, 0)
    requests[0].cancel()
    assert eventually(lambda: scheduler.load() == (1, 0))
    scheduler.submit([5, 6], LONG, 60)


def test_leaving_in_the_middle_of_an_answer_frees_the_place(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_down(monkeypatch)
    chunks = scheduler.submit([5, 6], LONG, 60).stream()
    next(chunks)
    chunks.close()  # type: ignore[attr-defined]
    assert eventually(lambda: scheduler.load() == (0, 0))


def test_time_over_cuts_an_answer_and_refuses_one_that_waits(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_down(monkeypatch)
    running = [scheduler.submit([5, 6], LONG, seconds) for seconds in (0.5, 60)]
    waiting = scheduler.submit([5, 6], LONG, 0.2)
    with pytest.raises(RefusedError, match="late"):
        list(waiting.stream())
    text = "".join(running[0].stream())
    assert 0 < running[0].answer.tokens < 400
    assert (running[0].answer.finish_reason, running[0].answer.text) == ("length", text)


def test_a_stop_lets_short_answers_end_and_breaks_off_long_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    slow_down(monkeypatch, 0.01)
    stopping = Scheduler(engine(), max_batch_size=2, max_waiting=2)
    short, long = (stopping.submit([5, 6], LONG.replace(max_new_tokens=count), 60) for count in (5, 400))
    assert eventually(lambda: stopping.load() == (2, 0))
    stopping.stop(0.5)
    assert "".join(short.stream()) == alone([5, 6], LONG.replace(max_new_tokens=5)).text
    with pytest.raises(RefusedError, match="stopping"):
        list(long.stream())
    with pytest.raises(RefusedError, match="stopping"):
        stopping.submit([5, 6], LONG, 60)


def test_a_failure_of_the_model_ends_its_answers_and_spares_the_next(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(Decoder, "step", lambda self: 1 / 0)
        with pytest.raises(RefusedError, match="failed"):
            list(scheduler.submit([5, 6], LONG, 60).stream())
    short = LONG.replace(max_new_tokens=9)
    assert "".join(scheduler.submit([5, 6], short, 60).stream()) == alone([5, 6], short).text
