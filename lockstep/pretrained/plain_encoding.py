"""Texts -> token ids with the Rust tokenizer alone: processes that only encode need neither Transformers nor torch."""

from dataclasses import dataclass

from tokenizers import Tokenizer


def encode_plain(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    """Token ids of each text as plain text: special-token strings in it are spelt out, and none is added."""
    _take_all_as_text(tokenizer)
    return [encoding.ids for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]


@dataclass(frozen=True, slots=True)
class Encoder:
    """A base's tokenizer as rows need it. It can be sent to other processes.

    opening: ids it puts before any text. end: id of end-of-text.
    """

    tokenizer: Tokenizer
    opening: list[int]
    end: int

    def encode(self, texts: list[str]) -> list[list[int]]:
        """As encode_plain."""
        return encode_plain(self.tokenizer, texts)

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Of each token of a text, the characters it stands for or is a part of: first, and one after the last."""
        _take_all_as_text(self.tokenizer)
        spans: list[tuple[int, int]] = self.tokenizer.encode(text, add_special_tokens=False).offsets
        return spans


def _take_all_as_text(tokenizer: Tokenizer) -> None:
    """Some tokenizer.json cut, pad, or look for special tokens by themselves; a copy forgets the last of these."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
