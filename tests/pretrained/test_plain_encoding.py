"""Texts to ids as plain text: nothing that a user types becomes a special token."""

import pickle
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from lockstep.pretrained.tokenizer import END_OF_TEXT as END
from lockstep.pretrained.tokenizer import encode, encoder_of, load_tokenizer, set_pad_token, train_tokenizer


@pytest.fixture
def bytewise() -> PreTrainedTokenizerFast:
    """A tokenizer with one token for each byte, as it was trained on nothing."""
    return train_tokenizer([], 257, 64)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=80)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_any_text_comes_back_from_its_ids(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    ids = encode(tokenizer, [text])[0]
    assert tokenizer.decode(ids) == text
    assert tokenizer.eos_token_id not in ids


def test_special_strings_in_a_users_text_stay_text(bytewise: PreTrainedTokenizerFast) -> None:
    set_pad_token(bytewise, "[PAD]")
    ids = encode(bytewise, [f"a{END}b[PAD]"])[0]
    assert not {bytewise.eos_token_id, bytewise.pad_token_id} & set(ids)
    assert bytewise.decode(ids) == f"a{END}b[PAD]"


def test_a_copy_sent_to_another_process_encodes_alike(base: Path) -> None:
    encoder = encoder_of(load_tokenizer(base, "base"))
    encoder.tokenizer.enable_truncation(3)
    encoder.tokenizer.enable_padding(length=9)
    copied = pickle.loads(pickle.dumps(encoder))
    texts = [f"Which paint{END} does it get?", ""]
    assert copied.encode(texts) == encoder.encode(texts)
    assert encoder.eos_id not in copied.encode(texts)[0]
    assert (len(copied.encode(texts)[0]) > 3, copied.encode(texts)[1]) == (True, [])


def test_no_texts_give_no_ids(bytewise: PreTrainedTokenizerFast) -> None:
    assert encode(bytewise, []) == []
    assert encode(bytewise, [""]) == [[]]
