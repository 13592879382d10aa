"""All splits tokenized, by several processes where there is much to do; these processes load no Transformers."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any

from lockstep.artifacts.lookup import Lookup
from lockstep.artifacts.records import LineBatch, Question, Text, line_batches
from lockstep.artifacts.rows import Ids, RowBlock
from lockstep.core.parallel import ordered_map
from lockstep.core.paths import SPLITS, prepared_split
from lockstep.core.settings import Tokenize
from lockstep.pretrained.plain_encoding import Encoder
from lockstep.prompting.prompt_encoder import PromptEncoder
from lockstep.tokenization.examples import OverlongRows, QuestionTokenizer, encode_texts, group_texts

SplitBatch = tuple[str, LineBatch]  # a split and some lines of its file


class SplitTokenizer:
    """Tokenizes one split after another, and lists the rows that were truncated or dropped in `overlong_rows`."""

    def __init__(self, prompts: PromptEncoder, loss_on: str, settings: Tokenize, lookup: Lookup | None = None) -> None:
        self.encoder, self.kind, self.block_size = prompts.encoder, prompts.prompt.kind, settings.block_size
        self.new_question_tokenizer = partial(
            QuestionTokenizer, prompts, loss_on, settings.max_length, settings.overlong, lookup
        )
        self.map = ordered_map if lookup is None else map  # a lookup is too large to send to other processes
        self.overlong_rows = OverlongRows()

    def splits(self) -> Iterator[tuple[str, Iterator[RowBlock]]]:
        """(split, its rows in the order of the prepared file). Read a split's rows before the next split.

        Raises LockstepError as QuestionTokenizer does, and where a prepared file is missing or damaged.
        """
        if self.kind == "text":
            for split, results in _by_split(partial(_tokenize_texts, self.encoder), self.map):
                yield split, group_texts((ids for _, ids in results), self.encoder.eos_id, self.block_size)
        else:
            for split, results in _by_split(partial(_tokenize_questions, self.new_question_tokenizer), self.map):
                yield split, self._collect(results)

    def _collect(self, results: Iterator[tuple[str, RowBlock, OverlongRows]]) -> Iterator[RowBlock]:
        """The blocks of rows; their overlong rows are added to `overlong_rows`."""
        for _, block, overlong_rows in results:
            self.overlong_rows.extend(overlong_rows)
            yield block


def _by_split(function: Callable[[SplitBatch], Any], mapping: Any) -> Iterator[tuple[str, Iterator[Any]]]:
    """(split, results of the function for its batches); the same processes serve all splits."""
    batches = ((split, batch) for split in SPLITS for batch in line_batches(prepared_split(split)))
    return groupby(mapping(function, batches), key=itemgetter(0))


def _tokenize_questions(
    new_tokenizer: Callable[[], QuestionTokenizer], split_batch: SplitBatch
) -> tuple[str, RowBlock, OverlongRows]:
    """The split, its rows and those that are overlong, of a batch of questions."""
    split, batch = split_batch
    tokenizer = new_tokenizer()
    questions = [record for record in batch.records() if isinstance(record, Question)]
    block = RowBlock.of(tokenizer.rows(questions, is_training=split == "train"))
    return split, block, tokenizer.overlong_rows


def _tokenize_texts(encoder: Encoder, split_batch: SplitBatch) -> tuple[str, Ids]:
    """The split and the ids, (tokens,), of a batch of texts."""
    split, batch = split_batch
    return split, encode_texts(encoder, [record.text for record in batch.records() if isinstance(record, Text)])
