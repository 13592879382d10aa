"""Many answers at once: equal to those given alone, and places that come free."""

import time
from collections.abc import Iterator

import pytest
import torch
from serving import engine, eventually

from lockstep.generation.decoder import Decoder
from lockstep.generation.engine import Answer, Engine
from lockstep.generation.kv_cache import independent_sizes
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


def alone(prompt: list[int], sampling: Sampling) -> Answer:
    answer = Answer()
    list(engine().stream_into(answer, prompt, sampling))
    return answer


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    made = Scheduler(engine(), places=2, queue=1)
    yield made
    made.stop(0)


def slow(monkeypatch: pytest.MonkeyPatch, seconds: float = 0.02) -> None:
    step = Decoder.step

    def slowly(self: Decoder) -> object:
        time.sleep(seconds)
        return step(self)

    monkeypatch.setattr(Decoder, "step", slowly)


def test_answers_of_a_crowd_are_those_given_alone_token_for_token() -> None:
    crowd = Scheduler(engine(), places=5, queue=12)
    tickets = [crowd.submit(prompt, sampling, 60) for prompt, sampling in zip(PROMPTS, MIXED, strict=True)]
    texts = ["".join(ticket.pieces()) for ticket in tickets]
    crowd.stop(0)
    expected = [alone(prompt, sampling) for prompt, sampling in zip(PROMPTS, MIXED, strict=True)]
    assert texts == [answer.text for answer in expected]
    assert [ticket.answer for ticket in tickets] == expected
    assert len({answer.text for answer in expected}) == 12


def test_answers_in_batches_of_any_size_are_those_given_alone() -> None:
    expected = [alone(prompt, LONG.but(max_new_tokens=30)) for prompt in PROMPTS]
    assert engine().answers(PROMPTS, LONG.but(max_new_tokens=30), batch=3) == expected
    assert engine().answers(PROMPTS, LONG.but(max_new_tokens=30), batch=64) == expected


def test_greedy_tokens_are_those_of_transformers_own_generate() -> None:
    ids = torch.tensor([PROMPTS[4]])
    settings = {"do_sample": False, "max_new_tokens": 40, "repetition_penalty": 1.2, "pad_token_id": 0}
    theirs = engine().model.generate(ids, attention_mask=torch.ones_like(ids), **settings)
    text = engine().tokenizer.decode(theirs[0, ids.shape[1] :], skip_special_tokens=True)
    assert alone(PROMPTS[4], LONG.but(max_new_tokens=40)).text == text


def test_a_model_that_cannot_share_memory_answers_row_by_row() -> None:
    separate = Decoder(engine().model, (), engine().ends, engine().context)
    shared = engine().decoder()
    rows = [(separate.join(prompt, LONG), shared.join(prompt, LONG)) for prompt in PROMPTS[:3]]
    for _ in range(8):
        assert all(mine.token == theirs.token for mine, theirs in rows)
        separate.step()
        shared.step()
    separate.leave(rows[0][0])
    shared.leave(rows[0][1])
    assert [row.token for row in separate.step()] == [row.token for row in shared.step()]


def test_row_counts_at_which_rows_disturb_each_other_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    from lockstep.generation import kv_cache

    def disturbed(model: object, context: int, size: int, length: int) -> torch.Tensor:
        return torch.full((size, 3), 0.5 if size < 16 else 0.25)

    monkeypatch.setattr(kv_cache, "_probe", disturbed)
    assert independent_sizes(engine().model, 512) == (16, 32, 64)


def test_the_trained_model_keeps_its_own_layers() -> None:
    from serving import tiny

    model, tokenizer = tiny()
    names = set(model.state_dict())
    Engine(model, tokenizer)
    assert set(model.state_dict()) == names


def test_a_full_queue_refuses_and_a_cancelled_ticket_frees_its_place(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow(monkeypatch)
    tickets = [scheduler.submit([5, 6], LONG, 60) for _ in range(3)]
    assert eventually(lambda: scheduler.load() == (2, 1))
    with pytest.raises(RefusedError, match="full"):
        scheduler.submit([5, 6], LONG, 60)
    tickets[2].cancel()
    assert scheduler.load() == (2, 0)
    tickets[0].cancel()
    assert eventually(lambda: scheduler.load() == (1, 0))
    scheduler.submit([5, 6], LONG, 60)


def test_leaving_in_the_middle_of_an_answer_frees_the_place(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow(monkeypatch)
    pieces = scheduler.submit([5, 6], LONG, 60).pieces()
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    assert eventually(lambda: scheduler.load() == (0, 0))


def test_time_over_cuts_an_answer_and_refuses_one_that_waits(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow(monkeypatch)
    going = [scheduler.submit([5, 6], LONG, seconds) for seconds in (0.5, 60)]
    waiting = scheduler.submit([5, 6], LONG, 0.2)
    with pytest.raises(RefusedError, match="late"):
        list(waiting.pieces())
    text = "".join(going[0].pieces())
    assert 0 < going[0].answer.tokens < 400
    assert (going[0].answer.finish, going[0].answer.text) == ("length", text)


def test_a_stop_lets_short_answers_end_and_breaks_off_long_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    slow(monkeypatch, 0.01)
    stopping = Scheduler(engine(), 2, 2)
    short, long = (stopping.submit([5, 6], LONG.but(max_new_tokens=count), 60) for count in (5, 400))
    assert eventually(lambda: stopping.load() == (2, 0))
    stopping.stop(0.5)
    assert "".join(short.pieces()) == alone([5, 6], LONG.but(max_new_tokens=5)).text
    with pytest.raises(RefusedError, match="stopping"):
        list(long.pieces())
    with pytest.raises(RefusedError, match="stopping"):
        stopping.submit([5, 6], LONG, 60)


def test_a_failure_of_the_model_ends_its_answers_and_spares_the_next(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(Decoder, "step", lambda self: 1 / 0)
        with pytest.raises(RefusedError, match="failed"):
            list(scheduler.submit([5, 6], LONG, 60).pieces())
    short = LONG.but(max_new_tokens=9)
    assert "".join(scheduler.submit([5, 6], short, 60).pieces()) == alone([5, 6], short).text


@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_text_is_the_same_however_tokens_are_dealt_out(size: int) -> None:
    tokenizer = engine().tokenizer
    ids = tokenizer("Größe – naïve 日本語 Answer: and more")["input_ids"]
    answer = Answer()
    spelling = engine().spelling(answer, Sampling(stop=("Answer:", "語x")))
    pieces = [
        spelling.add(ids[start : start + size], last=start + size >= len(ids)) for start in range(0, len(ids), size)
    ]
    assert "".join(pieces) == answer.text == "Größe – naïve 日本語 "
    assert (answer.finish, "\ufffd" in answer.text) == ("stop", False)
    assert answer.tokens == len(tokenizer("Größe – naïve 日本語 Answer:")["input_ids"])
