"""Answers of several models to the same held-out questions, through the same engine as chat."""

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from stages.core.conversation import Assistant, prompt_ids
from stages.core.evaluation import text_sample
from stages.core.generation import Engine, Sampling
from stages.core.params import Generation
from stages.core.prompt import Prompt
from stages.core.records import Question, Record


def greedy(settings: Generation) -> Sampling:
    """The exported settings, but always the likeliest token: evaluation draws nothing."""
    return Sampling(max_new_tokens=settings.max_new_tokens, repetition_penalty=settings.repetition_penalty)


def sample_answers(
    models: dict[str, PreTrainedModel],
    tokenizer: PreTrainedTokenizerFast,
    prompt: Prompt,
    records: list[Record],
    settings: Generation,
) -> list[dict[str, str]]:
    """One dict per record: question, reference, and the answer of each model under its name.

    For texts the question is the first words and the reference what follows them.
    """
    asked = [(r.question, r.answer) if isinstance(r, Question) else text_sample(r.text) for r in records]
    samples = [{"question": question, "reference": reference} for question, reference in asked]
    sampling = greedy(settings)
    for name, model in models.items():
        assistant = Assistant(Engine(model, tokenizer), prompt, sampling, 0, name)
        prompts = [prompt_ids(assistant, [], question, sampling.max_new_tokens) for question, _ in asked]
        for sample, answer in zip(samples, assistant.engine.answers(prompts, sampling), strict=True):
            sample[name] = answer.text.strip()
    return samples
