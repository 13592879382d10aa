"""Questions of the test split put to a model, through the same engine as chat, and its answers."""

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from lockstep.artifacts.prompt import Prompt
from lockstep.artifacts.records import Question, Record
from lockstep.core.settings import Generation
from lockstep.generation.conversation import Assistant, prompt_ids
from lockstep.generation.engine import Answer, Engine
from lockstep.generation.sampling import Sampling
from lockstep.modeling.collate import longest_first
from lockstep.modeling.distributed import ALONE, Processes

BEGINNING = 12  # words of a text that are given, to be continued
CONTINUATION = 36  # words of it that the continuation is shown beside


@dataclass(frozen=True, slots=True)
class TestQuestion:
    """What a model is asked, and the answer that would have been right. For texts: a beginning, and how it went on."""

    id: str
    cluster: str
    question: str
    reference: str


def draw_questions(records: Sequence[Record], count: int) -> list[TestQuestion]:
    """Up to `count` questions of the records, those with the lowest ids.

    Ids are hashes, so this is a draw by lot that new rows hardly change and that two revisions have in common.
    """
    every = [asked for record in records for asked in _questions_of(record)]
    return sorted(every, key=lambda asked: asked.id)[:count]


def _questions_of(record: Record) -> list[TestQuestion]:
    """A question as it is; of a text the beginning of each paragraph that is long enough, else its own."""
    if isinstance(record, Question):
        return [TestQuestion(record.id, record.cluster, record.question, record.answer)]
    parts = [part.split() for part in record.text.split("\n\n")]
    long = [part for part in parts if len(part) >= 2 * BEGINNING] or [record.text.split()]
    return [
        TestQuestion(f"{record.id}-{number}", record.cluster, *text_sample(" ".join(part)))
        for number, part in enumerate(long)
    ]


def text_sample(text: str) -> tuple[str, str]:
    """The first words of a text, as something to continue, and what really followed."""
    parts = text.split()
    return " ".join(parts[:BEGINNING]), " ".join(parts[BEGINNING : BEGINNING + CONTINUATION])


def greedy(settings: Generation) -> Sampling:
    """The exported settings, but always the likeliest token: evaluation draws nothing."""
    return Sampling(max_new_tokens=settings.max_new_tokens, repetition_penalty=settings.repetition_penalty)


def generate_answers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    prompt: Prompt,
    asked: Sequence[TestQuestion],
    settings: Generation,
    processes: Processes = ALONE,
) -> list[Answer]:
    """The model's greedy answer to each question, in order. processes: those that share the work; each returns all."""
    sampling = greedy(settings)
    assistant = Assistant(Engine(model, tokenizer), prompt, sampling, 0, "")
    prompts = [prompt_ids(assistant, [], one.question, sampling.max_new_tokens) for one in asked]
    # By length, so that what each process gets takes about as long.
    order = processes.share(longest_first([len(prompt) for prompt in prompts]))
    given = assistant.engine.generate([prompts[index] for index in order], sampling)
    every = dict(pair for part in processes.gathered(list(zip(order, given, strict=True))) for pair in part)
    return [every[index] for index in range(len(prompts))]


def samples_markdown(samples: Sequence[dict[str, str]], kind: str) -> str:
    """Answers beside references, for people. samples: question, reference, base, tuned."""
    lines = ["# Sample answers on held-out rows", ""]
    for number, sample in enumerate(samples, start=1):
        lines += [f"## {number}. {markdown_line(sample['question'])}", ""]
        for name, key in (("Reference", "reference"), ("Base", "base"), ("Fine-tuned", "tuned")):
            lines += [f"**{name}:** {markdown_line(sample[key]) or '*(nothing)*'}", ""]
    if not samples:
        what = "question" if kind == "qa" else "beginning"
        lines += [f"No {what} was asked for: evaluate.show is 0.", ""]
    return "\n".join(lines)


def markdown_line(text: str) -> str:
    """Text of a user or model as one line that Markdown shows as it is."""
    for character in "\\`*_[]<>#|~":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())
