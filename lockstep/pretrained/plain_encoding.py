"""Texts -> token ids with the Rust tokenizer alone, so that worker processes load neither Transformers nor torch."""

from dataclasses import dataclass

from tokenizers import Tokenizer


def encode_plain(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    """Token ids of each text. A special token's string in a text is encoded as the characters it is; none is added."""
    _encode_all_as_text(tokenizer)
    return [encoding.ids for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]


@dataclass(frozen=True, slots=True)
class Encoder:
    """A base's tokenizer as tokenization needs it. It can be pickled for worker processes.

    opening_ids: ids that stand before every text. eos_id: id of end-of-text.
    """

    tokenizer: Tokenizer
    opening_ids: list[int]
    eos_id: int

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Token ids of each text, see encode_plain."""
        return encode_plain(self.tokenizer, texts)

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """For each token of a text the range of characters it covers, wholly or in part: start and end, exclusive."""
        _encode_all_as_text(self.tokenizer)
        spans: list[tuple[int, int]] = self.tokenizer.encode(text, add_special_tokens=False).offsets
        return spans


def _encode_all_as_text(tokenizer: Tokenizer) -> None:
    """Switch off what a tokenizer.json may ask for: truncation, padding, special tokens in texts. Pickling loses the
    last of these, so it is set before each use."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
