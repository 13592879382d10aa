"""Sequences of a batch: they join, advance together and leave without affecting each other."""

import pytest
from serving import engine

from lockstep.generation.decoder import Decoder
from lockstep.generation.sampling import Sampling

GREEDY = Sampling(max_new_tokens=400, repetition_penalty=1.2)


def tokens_alone(prompt: list[int], count: int) -> list[int]:
    decoder = engine().decoder()
    sequence = decoder.add(prompt, GREEDY)
    return [sequence.token, *(decoder.step()[0].token for _ in range(count - 1))]


def test_a_sequence_gets_the_same_tokens_whoever_joins_and_leaves_beside_it() -> None:
    decoder = engine().decoder()
    first, sequence = decoder.add([9, 8, 7], GREEDY), decoder.add([1, 2, 3, 4], GREEDY)
    tokens = [sequence.token]
    for step in range(11):
        if step == 3:
            decoder.remove(first)
        if step == 6:
            decoder.add(list(range(1, 90)), GREEDY)
        decoder.step()
        tokens.append(sequence.token)
    assert tokens == tokens_alone([1, 2, 3, 4], 12)


def test_a_cache_for_each_sequence_gives_the_tokens_of_the_batched_one() -> None:
    separate = Decoder(engine().model, (), engine().eos_ids, engine().context)
    batched = engine().decoder()
    prompts = [list(range(1 + n, 4 + 5 * n)) for n in range(3)]
    pairs = [(separate.add(prompt, GREEDY), batched.add(prompt, GREEDY)) for prompt in prompts]
    for _ in range(8):
        assert all(mine.token == theirs.token for mine, theirs in pairs)
        separate.step()
        batched.step()
    separate.remove(pairs[0][0])
    batched.remove(pairs[0][1])
    assert [sequence.token for sequence in separate.step()] == [sequence.token for sequence in batched.step()]


@pytest.mark.parametrize("max_new_tokens", [1, 3])
def test_a_finished_sequence_leaves_at_the_next_step(max_new_tokens: int) -> None:
    decoder = engine().decoder()
    sequence = decoder.add([5, 6], GREEDY.replace(max_new_tokens=max_new_tokens))
    for _ in range(max_new_tokens - 1):
        assert sequence.finish_reason is None
        assert decoder.step() == [sequence]
    assert (sequence.finish_reason, sequence.num_generated) == ("length", max_new_tokens)
    assert decoder.step() == []


def test_removing_a_sequence_twice_changes_nothing() -> None:
    decoder = engine().decoder()
    one, two = decoder.add([5, 6], GREEDY), decoder.add([7], GREEDY)
    decoder.remove(one)
    decoder.remove(one)
    assert decoder.step() == [two]
