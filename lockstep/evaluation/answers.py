"""The questions that both models answer, and their answers, through the engine that chat uses."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import nsmallest

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from lockstep.artifacts.lookup import Lookup
from lockstep.artifacts.prompt import Prompt
from lockstep.artifacts.records import Question, Record
from lockstep.core.settings import Generation
from lockstep.evaluation.question_kinds import NEW
from lockstep.generation.conversation import Assistant, prompt_ids
from lockstep.generation.engine import Answer, Engine
from lockstep.generation.kv_cache import BATCH_SIZES
from lockstep.generation.sampling import Sampling
from lockstep.modeling.collate import longest_first
from lockstep.modeling.distributed import SINGLE_PROCESS, ProcessGroup

BEGINNING = 12  # words of a text that the model is given to continue
CONTINUATION = 36  # words that follow them in the text: the reference of the continuation


@dataclass(frozen=True, slots=True)
class TestQuestion:
    """A question for the models, and its answer in the data. For texts: a beginning, and its continuation there.

    kind: 'known', 'reworded' or 'new'.
    """

    id: str
    cluster: str
    question: str
    reference: str
    kind: str = NEW


def draw_questions(records: Iterable[Record], count: int, kind: str = NEW) -> list[TestQuestion]:
    """The `count` questions of the records with the lowest ids, or all where there are fewer.

    Ids are hashes, so this is a random draw. It hardly changes when rows are added, and two revisions share most of it.
    Records that come one by one are not kept in memory.
    """
    questions = (question for record in records for question in _questions(record, kind))
    return nsmallest(count, questions, key=lambda question: question.id)


def _questions(record: Record, kind: str) -> list[TestQuestion]:
    """The question of a record. A text gives the beginning of each long paragraph, or else its own beginning."""
    if isinstance(record, Question):
        return [TestQuestion(record.id, record.cluster, record.question, record.answer, kind)]
    paragraphs = [paragraph.split() for paragraph in record.text.split("\n\n")]
    long = [words for words in paragraphs if len(words) >= 2 * BEGINNING] or [record.text.split()]
    return [
        TestQuestion(f"{record.id}-{number}", record.cluster, *text_sample(" ".join(words)), kind)
        for number, words in enumerate(long)
    ]


def text_sample(text: str) -> tuple[str, str]:
    """The first words of a text, for the model to continue, and the words that follow them."""
    words = text.split()
    return " ".join(words[:BEGINNING]), " ".join(words[BEGINNING : BEGINNING + CONTINUATION])


def greedy(settings: Generation) -> Sampling:
    """The settings of generation, but greedy: evaluation always takes the likeliest token."""
    return Sampling(max_new_tokens=settings.max_new_tokens, repetition_penalty=settings.repetition_penalty)


def generate_answers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    prompt: Prompt,
    questions: Sequence[TestQuestion],
    settings: Generation,
    processes: ProcessGroup = SINGLE_PROCESS,
    lookup: Lookup | None = None,
) -> list[Answer]:
    """Generate the model's greedy answer to each question, in order.

    lookup: the training pairs that it looks up. processes: those that share the questions; each returns all answers.
    """
    sampling = greedy(settings)
    assistant = Assistant(Engine(model, tokenizer), prompt, sampling, 0, "", lookup)
    prompts = [prompt_ids(assistant, [], question.question, sampling.max_new_tokens) for question in questions]
    # By length, so that each process's share takes about as long.
    order = processes.share(longest_first([len(prompt) for prompt in prompts]))
    own = assistant.engine.generate([prompts[index] for index in order], sampling, BATCH_SIZES[-1])
    every = dict(pair for part in processes.all_gather(list(zip(order, own, strict=True))) for pair in part)
    return [every[index] for index in range(len(prompts))]
