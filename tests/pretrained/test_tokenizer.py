"""The tokenizer: trained, loaded, given a padding token, checked against the model, saved without traces."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from tokenizers.processors import TemplateProcessing
from transformers import GPT2Config, PreTrainedTokenizerFast

from lockstep.core.errors import LockstepError
from lockstep.pretrained.tokenizer import (
    check_vocabulary,
    context_length,
    encode,
    load_tokenizer,
    opening_ids,
    save_tokenizer,
    set_pad_token,
    train_tokenizer,
)

END = "<|endoftext|>"


@pytest.fixture
def bytewise() -> PreTrainedTokenizerFast:
    """A tokenizer with one token for each byte, as it was trained on nothing."""
    return train_tokenizer([], 257, 64)


def test_a_trained_tokenizer_has_end_of_text_first_and_every_byte() -> None:
    tokenizer = train_tokenizer(["the cat and the hat"] * 5, 280, 64)
    assert (tokenizer.eos_token, tokenizer.eos_token_id, tokenizer.bos_token_id) == (END, 0, 0)
    assert 257 <= len(tokenizer) <= 280
    assert encode(tokenizer, ["the"])[0] != encode(train_tokenizer([], 257, 64), ["the"])[0]


def test_training_is_repeatable() -> None:
    texts = ["some words, some more words", "ein paar Wörter, 日本"] * 3
    one, two = (train_tokenizer(iter(texts), 300, 64).backend_tokenizer.to_str() for _ in range(2))
    assert one == two


def test_without_a_setting_padding_is_end_of_text_and_nothing_is_added(bytewise: PreTrainedTokenizerFast) -> None:
    set_pad_token(bytewise, None)
    assert (bytewise.pad_token_id, len(bytewise)) == (0, 257)


def test_the_padding_token_of_the_settings_is_added(bytewise: PreTrainedTokenizerFast) -> None:
    set_pad_token(bytewise, "[PAD]")
    assert (bytewise.pad_token, bytewise.pad_token_id, len(bytewise)) == ("[PAD]", 257, 258)
    set_pad_token(bytewise, None)
    assert bytewise.pad_token == "[PAD]"


def test_only_tokenizers_that_put_a_token_first_have_opening_ids(bytewise: PreTrainedTokenizerFast) -> None:
    assert opening_ids(bytewise) == []
    bytewise.backend_tokenizer.post_processor = TemplateProcessing(single=f"{END} $A", special_tokens=[(END, 0)])
    assert opening_ids(bytewise) == [0]


def test_ids_beyond_the_models_embeddings_are_an_error(bytewise: PreTrainedTokenizerFast) -> None:
    check_vocabulary(bytewise, GPT2Config(vocab_size=257))
    with pytest.raises(LockstepError, match="highest id is 256, the model has 256"):
        check_vocabulary(bytewise, GPT2Config(vocab_size=256))


def test_only_a_token_that_the_settings_add_may_have_no_embedding_yet(bytewise: PreTrainedTokenizerFast) -> None:
    set_pad_token(bytewise, "[PAD]")
    check_vocabulary(bytewise, GPT2Config(vocab_size=257), added=1)
    with pytest.raises(LockstepError, match="highest id is 257, the model has 256"):
        check_vocabulary(bytewise, GPT2Config(vocab_size=256), added=1)


def test_the_context_is_what_the_config_says() -> None:
    assert context_length(GPT2Config(n_positions=77)) == 77


def test_a_saved_tokenizer_is_the_same_and_does_not_name_its_folder(tmp_path: Path, base: Path) -> None:
    first = load_tokenizer(base, "base")
    save_tokenizer(first, tmp_path / "one")
    second = load_tokenizer(tmp_path / "one", "one")
    save_tokenizer(second, tmp_path / "two")
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()
        assert str(tmp_path) not in file.read_text(encoding="utf-8")
        assert str(base) not in file.read_text(encoding="utf-8")
    assert encode(second, ["Which paint?"]) == encode(first, ["Which paint?"])


def test_a_tokenizer_without_end_of_text_is_refused(tmp_path: Path, bytewise: PreTrainedTokenizerFast) -> None:
    bytewise.save_pretrained(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    settings_ = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(
        json.dumps({key: value for key, value in settings_.items() if key != "eos_token"}), encoding="utf-8"
    )
    with pytest.raises(LockstepError, match="^The tokenizer of mine has no end-of-text token.*tokenizer_config.json"):
        load_tokenizer(tmp_path, "mine")


def test_a_model_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}', encoding="utf-8")
    with pytest.raises(LockstepError, match=r"^mine has no tokenizer\..*tokenizer\.json"):
        load_tokenizer(tmp_path, "mine")


@pytest.mark.parametrize("content", ["{", '{"model": {}}'])
def test_a_tokenizer_that_cannot_be_loaded_is_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}', encoding="utf-8")
    (tmp_path / "tokenizer.json").write_text(content, encoding="utf-8")
    with pytest.raises(LockstepError, match="^The tokenizer of mine can't be loaded: ") as caught:
        load_tokenizer(tmp_path, "mine")
    assert "\n" not in str(caught.value)


def test_a_slow_tokenizer_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = SimpleNamespace(is_fast=False)
    monkeypatch.setattr("lockstep.pretrained.tokenizer.AutoTokenizer.from_pretrained", lambda *_, **__: slow)
    with pytest.raises(LockstepError, match=r"^mine has no fast tokenizer\..*tokenizer\.json"):
        load_tokenizer(tmp_path, "mine")
