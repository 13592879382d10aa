"""From prepared records to rows, by several processes where there are many; these load no Transformers."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any

from lockstep.artifacts.prompt import Prompt
from lockstep.artifacts.records import Lines, Question, Text, record_lines
from lockstep.artifacts.rows import Ids, RowBlock
from lockstep.core.parallel import ordered_map
from lockstep.core.paths import SPLITS, prepared_split
from lockstep.core.settings import Tokenize
from lockstep.pretrained.plain_encoding import Encoder
from lockstep.tokenization.examples import Overlong, QuestionRows, text_blocks, text_ids

Piece = tuple[str, Lines]  # a split and some of its lines


class RowMaker:
    """Makes the rows of one split after another, noting in `noted` what had to be cut or dropped."""

    def __init__(self, encoder: Encoder, prompt: Prompt, loss_on: str, settings: Tokenize) -> None:
        self.encoder, self.kind, self.block_size = encoder, prompt.kind, settings.block_size
        self.questions = partial(QuestionRows, encoder, prompt, loss_on, settings.max_length, settings.overlong)
        self.noted = Overlong()

    def make(self) -> Iterator[tuple[str, Iterator[RowBlock]]]:
        """Each split and its rows in the order of the prepared file, to be taken before the next split is asked for.

        Raises LockstepError as QuestionRows does.
        """
        if self.kind == "text":
            for split, made in _by_split(partial(_text_piece, self.encoder)):
                yield split, text_blocks((ids for _, ids in made), self.encoder.end, self.block_size)
        else:
            for split, made in _by_split(partial(_question_piece, self.questions)):
                yield split, self._noting(made)

    def _noting(self, made: Iterator[tuple[str, RowBlock, Overlong]]) -> Iterator[RowBlock]:
        for _, block, noted in made:
            self.noted.add(noted)
            yield block


def _by_split(function: Callable[[Piece], Any]) -> Iterator[tuple[str, Iterator[Any]]]:
    """What the function makes of the pieces of each split; one set of processes serves all splits."""
    pieces = ((split, lines) for split in SPLITS for lines in record_lines(prepared_split(split)))
    return groupby(ordered_map(function, pieces), key=itemgetter(0))


def _question_piece(questions: Callable[[], QuestionRows], piece: Piece) -> tuple[str, RowBlock, Overlong]:
    split, lines = piece
    maker = questions()
    block = RowBlock.of(maker.rows([record for record in lines.records() if isinstance(record, Question)]))
    return split, block, maker.noted


def _text_piece(encoder: Encoder, piece: Piece) -> tuple[str, Ids]:
    split, lines = piece
    return split, text_ids(encoder, [record.text for record in lines.records() if isinstance(record, Text)])
