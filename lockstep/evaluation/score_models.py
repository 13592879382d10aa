"""Scores a model on held-out rows, and compares the figures of the base and the fine-tuned model."""

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from lockstep.artifacts.rows import Row
from lockstep.core.atomic_files import figure
from lockstep.evaluation.answers import TestQuestion
from lockstep.evaluation.bootstrap import paired_bootstrap
from lockstep.evaluation.self_checks import check_scores
from lockstep.evaluation.text_metrics import overlap_metrics, surface_metrics, token_f1
from lockstep.generation.engine import Answer
from lockstep.modeling.device import Hardware
from lockstep.modeling.distributed import SINGLE_PROCESS, ProcessGroup
from lockstep.modeling.scoring import Scores, TokenLosses, score_rows, token_losses


@dataclass(frozen=True, slots=True)
class ModelScores:
    """The scores of one model.

    answer: the losses of the answer tokens of each test row. text: the scores of the whole test rows, whose scored
    tokens are text_bytes bytes long in UTF-8. train: the scores of the answers of as many training rows.
    checks: the errors that self_checks.check_scores measured.
    """

    answer: TokenLosses
    text: Scores
    text_bytes: int
    train: Scores
    checks: dict[str, float]

    @property
    def figures(self) -> dict[str, float]:
        """The figures of this model in metrics/evaluate.json.

        They are loss (nats per token), perplexity and accuracy on the answers, perplexity and bits per byte on the
        whole rows, the loss on training rows, and `generalization_gap`, the loss on test rows minus the loss on
        training rows.
        """
        scores = self.answer.scores
        return {
            "loss": figure(scores.loss),
            "perplexity": figure(scores.perplexity),
            "accuracy": figure(scores.accuracy),
            "text_perplexity": figure(self.text.perplexity),
            "bits_per_byte": figure(self.text.bits_per_byte(self.text_bytes)),
            "train_loss": figure(self.train.loss),
            "generalization_gap": figure(scores.loss - self.train.loss),
        }


def score_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    test: Sequence[Row],
    plain: Sequence[Row],
    train: Sequence[Row],
    hardware: Hardware,
    kind: str,
    name: str,
    processes: ProcessGroup = SINGLE_PROCESS,
) -> ModelScores:
    """Score the answers of the test rows, the whole text of the plain rows, and the answers of the train rows.

    A whole row of a question and its answer is scored after an end-of-text token, so that its first token counts too.
    A row of plain text begins with the last token of the row before it, and that token counts there.

    plain: the test rows without what is looked up. kind: 'qa' or 'text'. name: the model's name, for messages.
    processes: the processes that share the work; each returns the scores of all rows, the same as one process alone.
    Raises LockstepError when the scores differ from those of the plain definition.
    """
    end = tokenizer.eos_token_id
    answers = [{"input_ids": row.ids, "target_start": row.answer_start} for row in test]
    losses = token_losses(model, answers, hardware, end, processes=processes)
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    start = [end] if kind == "qa" else []
    texts = [[*start, *row.ids][:context] for row in plain]
    special = set(tokenizer.all_special_ids)
    text_rows = [{"input_ids": ids, "target_start": 1} for ids in texts]
    train_answers = [{"input_ids": row.ids, "target_start": row.answer_start} for row in train]
    return ModelScores(
        answer=losses,
        text=score_rows(model, text_rows, hardware, end, processes=processes),
        # Special tokens are no bytes of the user's text, so they add to the loss but not to the length.
        text_bytes=sum(len(str(tokenizer.decode([i for i in ids[1:] if i not in special])).encode()) for ids in texts),
        train=score_rows(model, train_answers, hardware, end, processes=processes),
        checks=check_scores(model, answers, losses.scores, hardware, end, name),
    )


def answer_figures(questions: Sequence[TestQuestion], answers: Sequence[Answer], kind: str) -> dict[str, float]:
    """The overlap of the answers with the references, for kind 'qa' only, and their surface metrics.

    A plain text has many good continuations, so none is compared with a reference. Empty when there is no question.
    """
    if not questions:
        return {}
    texts, references = [answer.text.strip() for answer in answers], [question.reference for question in questions]
    overlap = overlap_metrics(texts, references) if kind == "qa" else {}
    return overlap | surface_metrics(texts, references, [answer.finish_reason == "stop" for answer in answers])


def differences(base: dict[str, float], tuned: dict[str, float]) -> dict[str, float]:
    """tuned - base for each figure that both have, and the share by which the answers' perplexity fell."""
    delta = {name: figure(tuned[name] - base[name]) for name in base if name in tuned}
    delta["perplexity_improvement"] = figure(1 - tuned["perplexity"] / base["perplexity"])
    return delta


def loss_evidence(
    base: Scores, tuned: Scores, clusters: Sequence[str] | None, resamples: int, seed: int
) -> dict[str, float]:
    """The bounds of the 95% interval of tuned - base in the answers' loss, and the share of rows whose loss fell.

    The interval comes from a paired bootstrap with `resamples` draws of clusters.
    clusters: the cluster of each row; None where each row is a cluster of its own.
    """
    interval = paired_bootstrap(base.nll, tuned.nll, base.targets, clusters, resamples, seed)
    return {
        "loss_low": figure(interval.low),
        "loss_high": figure(interval.high),
        "rows_improved": figure(float((tuned.nll < base.nll).mean())),
    }


def f1_evidence(
    questions: Sequence[TestQuestion], before: Sequence[str], after: Sequence[str], resamples: int, seed: int
) -> dict[str, float]:
    """The difference in mean token F1 between two lists of answers, after - before, and the bounds of its 95% interval.

    before, after: an answer to each question. Empty when there is no question.
    """
    if not questions:
        return {}
    f1_before, f1_after = (
        [token_f1(answer, question.reference) for answer, question in zip(answers, questions, strict=True)]
        for answers in (before, after)
    )
    clusters = [question.cluster for question in questions]
    interval = paired_bootstrap(f1_before, f1_after, [1.0] * len(questions), clusters, resamples, seed)
    return {"f1": figure(interval.difference), "f1_low": figure(interval.low), "f1_high": figure(interval.high)}
