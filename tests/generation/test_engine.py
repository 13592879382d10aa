"""The engine: the same tokens alone and in a batch, and text that does not depend on how its tokens are grouped."""

import pytest
import torch
from serving import alone, engine, tiny

from lockstep.generation.engine import Answer, Engine
from lockstep.generation.sampling import Sampling

LONG = Sampling(max_new_tokens=30, repetition_penalty=1.2)
PROMPTS = [list(range(1 + n, 4 + 5 * n)) for n in range(12)]


@pytest.mark.parametrize("max_batch_size", [1, 3, 64])
def test_answers_in_batches_of_any_size_are_those_given_alone(max_batch_size: int) -> None:
    expected = [alone(prompt, LONG) for prompt in PROMPTS]
    assert engine().generate(PROMPTS, LONG, max_batch_size) == expected


def test_greedy_tokens_are_those_of_transformers_own_generate() -> None:
    ids = torch.tensor([PROMPTS[4]])
    settings = {"do_sample": False, "max_new_tokens": 40, "repetition_penalty": 1.2, "pad_token_id": 0}
    theirs = engine().model.generate(ids, attention_mask=torch.ones_like(ids), **settings)
    text = engine().tokenizer.decode(theirs[0, ids.shape[1] :], skip_special_tokens=True)
    assert alone(PROMPTS[4], LONG.replace(max_new_tokens=40)).text == text


def test_a_prompt_as_long_as_the_context_gets_an_empty_answer() -> None:
    too_long = [5] * engine().context
    assert alone(too_long, LONG) == Answer()
    assert engine().generate([too_long, [5]], LONG) == [Answer(), alone([5], LONG)]


def test_an_answer_ends_where_the_context_is_full() -> None:
    answer = alone([5] * (engine().context - 3), LONG)
    assert (answer.tokens, answer.finish_reason) == (3, "length")


@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_text_is_the_same_however_its_tokens_are_grouped(size: int) -> None:
    tokenizer = engine().tokenizer
    ids = tokenizer("Größe – naïve 日本語 Answer: and more")["input_ids"]
    answer = Answer()
    detokenizer = engine().detokenizer(answer, Sampling(stop=("Answer:", "語x")))
    groups = [ids[start : start + size] for start in range(0, len(ids), size)]
    chunks = [detokenizer.push(group, last=group is groups[-1]) for group in groups]
    assert "".join(chunks) == answer.text == "Größe – naïve 日本語 "
    assert (answer.finish_reason, "\ufffd" in answer.text) == ("stop", False)
    assert answer.tokens == len(tokenizer("Größe – naïve 日本語 Answer:")["input_ids"])


def test_an_end_of_sequence_token_ends_the_answer_and_is_no_part_of_it() -> None:
    tokenizer, answer = engine().tokenizer, Answer()
    ids = tokenizer("what is a mean?")["input_ids"]
    detokenizer = engine().detokenizer(answer, Sampling())
    assert detokenizer.push([*ids, tokenizer.eos_token_id, *ids]) == "what is a mean?"
    assert (detokenizer.finished, answer.finish_reason, answer.tokens) == (True, "stop", len(ids) + 1)
    assert detokenizer.push(ids) == ""


def test_the_trained_model_keeps_its_own_layers() -> None:
    model, tokenizer = tiny()
    names = set(model.state_dict())
    Engine(model, tokenizer)
    assert set(model.state_dict()) == names
