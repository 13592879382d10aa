"""A base's own chat template, taken apart and put together again: the same ids in training, chat and export."""

import copy

import pytest
from transformers import PreTrainedTokenizerFast

from lockstep.artifacts.prompt import DEFAULT_TEMPLATE
from lockstep.pretrained.tokenizer import encoder_of, train_tokenizer
from lockstep.prompting.chat_template import AUTO, prompt_of
from lockstep.prompting.prompt_encoder import PromptEncoder

CHATML = (
    "{% for m in messages %}{% if loop.first and m['role'] != 'system' %}{{ '<|im_start|>system\nBe kind.<|im_end|>\n' }}"
    "{% endif %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA_3 = (
    "{{ '<|begin|>' }}{% for m in messages %}{{ '<|head|>' + m['role'] + '<|tail|>\n\n' + m['content'] | trim + '<|eot|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|head|>assistant<|tail|>\n\n' }}{% endif %}"
)
INSTRUCT = (  # as Llama 2: the system prompt stands inside the first turn
    "{% if messages[0]['role'] == 'system' %}{% set s = '<<SYS>>' + messages[0]['content'] + '<</SYS>>\n' %}"
    "{% set turns = messages[1:] %}{% else %}{% set s = '' %}{% set turns = messages %}{% endif %}"
    "{% for m in turns %}{% if m['role'] == 'user' %}{{ '<s>' + '[INST] ' + (s if loop.first else '') + m['content'] "
    "+ ' [/INST]' }}{% else %}{{ ' ' + m['content'] + ' </s>' }}{% endif %}{% endfor %}"
)
NO_SYSTEM = (
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "{{ '<|head|>' + m['role'] + '\n' + m['content'] + '<|eot|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|head|>assistant\n' }}{% endif %}"
)
CHANGING = "{% for m in messages %}{{ '<|head|>' + loop.index | string + m['content'] + '<|eot|>' }}{% endfor %}"
SPECIAL = ["<|im_start|>", "<|im_end|>", "<|begin|>", "<|head|>", "<|tail|>", "<|eot|>", "<s>", "</s>"]
TURNS = [("What is <|eot|> a mean?", "It is </s> the sum."), ("And the  median?", "The middle.")]


def tokenizer_with(template: str | None) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer that has every special token of the templates above."""
    tokenizer = train_tokenizer([], 257, 512)
    tokenizer.add_special_tokens({"additional_special_tokens": SPECIAL})
    tokenizer.chat_template = template
    return tokenizer


def messages_of(turns: list[tuple[str, str]], last: str, system: str = "") -> list[dict[str, str]]:
    messages = [{"role": "system", "content": system}] if system else []
    for question, answer in turns:
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return [*messages, {"role": "user", "content": last}]


def ids_of(prompts: PromptEncoder, turns: list[tuple[str, str]], last: str) -> list[int]:
    """Ids of a conversation as training and chat encode it."""
    ids: list[int] = []
    for number, (question, answer) in enumerate(turns):
        ids += prompts.question_ids([question], is_first=not number)[0] + prompts.answer_ids([answer])[0]
    return ids + prompts.question_ids([last], is_first=not turns)[0]


@pytest.mark.parametrize("system", ["", "Answer briefly."])
@pytest.mark.parametrize("template", [CHATML, LLAMA_3, INSTRUCT], ids=["chatml", "llama 3", "instruct"])
@pytest.mark.parametrize("count", [0, 1, 2])
def test_training_encodes_as_the_bases_own_template_does(template: str, system: str, count: int) -> None:
    own = tokenizer_with(template)
    tokenizer = copy.deepcopy(own)
    prompt = prompt_of(tokenizer, "qa", AUTO, system or AUTO)
    turns = [(q.replace("<|eot|> ", ""), a.replace("</s> ", "")) for q, a in TURNS[:count]]  # as text they differ
    conversation = messages_of(turns, "Why not?", system)
    expected = own.apply_chat_template(conversation, add_generation_prompt=True)["input_ids"]
    assert ids_of(PromptEncoder(encoder_of(tokenizer), prompt), turns, "Why not?") == expected
    tokenizer.chat_template = prompt.chat_template(str(tokenizer.eos_token))  # the export's
    assert tokenizer.apply_chat_template(conversation, add_generation_prompt=True)["input_ids"] == expected


@pytest.mark.parametrize(
    ("template", "end"), [(CHATML, "<|im_end|>"), (LLAMA_3, "<|eot|>"), (INSTRUCT, "</s>")], ids=["chatml", "3", "2"]
)
def test_the_token_that_ends_a_turn_becomes_end_of_text_and_is_learnt(template: str, end: str) -> None:
    tokenizer = tokenizer_with(template)
    prompts = PromptEncoder(encoder_of(tokenizer_with(None)), prompt_of(tokenizer, "qa", AUTO, AUTO))
    assert tokenizer.eos_token == end
    prompts = PromptEncoder(encoder_of(tokenizer), prompts.prompt)
    [ids] = prompts.answer_ids(["So."])
    assert ids[-1] == tokenizer.convert_tokens_to_ids(end) and ids.count(ids[-1]) == 1


def test_special_tokens_that_a_user_types_are_text() -> None:
    tokenizer = tokenizer_with(CHATML)
    prompts = PromptEncoder(encoder_of(tokenizer), prompt_of(tokenizer, "qa", AUTO, AUTO))
    typed, plain = "a <|im_end|> b", "a b"
    special = set(tokenizer.convert_tokens_to_ids(SPECIAL))  # type: ignore[arg-type]
    counts = [sum(token in special for token in prompts.question_ids([text])[0]) for text in (typed, plain)]
    assert counts[0] == counts[1] > 0
    assert tokenizer.decode(prompts.question_ids([typed])[0]).count("<|im_end|>") == 3  # two of the template, one typed


def test_the_template_says_what_the_system_prompt_is_when_nobody_sets_one() -> None:
    assert prompt_of(tokenizer_with(CHATML), "qa", AUTO, AUTO).system == "Be kind."
    assert prompt_of(tokenizer_with(CHATML), "qa", AUTO, None).system == ""
    assert prompt_of(tokenizer_with(LLAMA_3), "qa", AUTO, AUTO).question_text("Why?").count("system") == 0


def test_a_template_without_a_system_turn_leaves_the_system_prompt_out(capsys: pytest.CaptureFixture[str]) -> None:
    prompts = [prompt_of(tokenizer_with(NO_SYSTEM), "qa", AUTO, system) for system in (AUTO, "Be brief.")]
    expected = "<|head|>user\nWhy?<|eot|>\n<|head|>assistant\n"
    assert [prompt.question_text("Why?") for prompt in prompts] == [expected] * 2
    assert "prompt.system is left out: the base's chat template has no system turn" in capsys.readouterr().err


@pytest.mark.parametrize("template", [None, CHANGING], ids=["none", "one that changes from turn to turn"])
def test_a_base_without_a_usable_template_gets_the_default_one(
    template: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    for system in (AUTO, "Be brief."):
        assert prompt_of(tokenizer_with(template), "qa", AUTO, system).template == DEFAULT_TEMPLATE
    assert "prompt.system is left out: the base has no chat template" in capsys.readouterr().err


def test_special_tokens_in_a_template_of_ones_own_are_single_ids() -> None:
    tokenizer = tokenizer_with(None)
    prompt = prompt_of(tokenizer, "qa", "<|head|>{question}<|tail|>{answer}<|endoftext|>", AUTO)
    prompts = PromptEncoder(encoder_of(tokenizer), prompt)
    head, tail, end = tokenizer.convert_tokens_to_ids(["<|head|>", "<|tail|>", "<|endoftext|>"])
    [question], [answer] = prompts.question_ids(["q"]), prompts.answer_ids(["a"])
    assert (question[0], question[-1], len(question)) == (head, tail, 3)
    assert (answer[-1], len(answer)) == (end, 2)


def test_texts_have_no_template() -> None:
    assert prompt_of(tokenizer_with(CHATML), "text", AUTO, "Be brief.").question_text("Once") == "Once"
