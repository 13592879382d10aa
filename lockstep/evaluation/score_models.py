"""Base and fine-tuned model on the same held-out rows: from models to metrics/evaluate.json."""

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from lockstep.artifacts.rows import Row
from lockstep.core.atomic_files import figure
from lockstep.evaluation.bootstrap import paired_bootstrap
from lockstep.evaluation.self_checks import check_scores
from lockstep.evaluation.test_answers import TestQuestion
from lockstep.evaluation.text_metrics import overlap_metrics, surface_metrics, token_f1
from lockstep.generation.engine import Answer
from lockstep.modeling.device import Hardware
from lockstep.modeling.distributed import ALONE, Processes
from lockstep.modeling.scoring import Scores, score_rows
from lockstep.modeling.token_losses import TokenLosses, token_losses


@dataclass(frozen=True, slots=True)
class Scored:
    """What one model makes of the held-out rows. answer: each target of each answer. text: the whole rows, of
    text_bytes bytes. train: answers of as many training rows. checks: see self_checks.check_scores."""

    answer: TokenLosses
    text: Scores
    text_bytes: int
    train: Scores
    checks: dict[str, float]

    @property
    def figures(self) -> dict[str, float]:
        """Loss (nats per token) and perplexity of the answers; perplexity, and bits per byte, of the whole rows; and
        `generalization_gap`, how much higher the loss is than on rows of training."""
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
    train: Sequence[Row],
    hardware: Hardware,
    kind: str,
    name: str,
    processes: Processes = ALONE,
) -> Scored:
    """Score the test rows, their whole text, and the train rows, and check the scores against the plain definition.

    For the whole row of a question and its answer the model first sees an end-of-text, so that the first token counts
    too; a row of plain text begins with the last token of the row before, which counts there. The bytes are those of
    the tokens that count, in UTF-8. kind: 'qa' or 'text'. name: of the model, for the LockstepError raised where a
    check fails. processes: those that share the work; each returns the whole, the same as one alone.
    """
    end = tokenizer.eos_token_id
    answers = [{"input_ids": row.ids, "target_start": row.answer_start} for row in test]
    losses = token_losses(model, answers, hardware, end, processes=processes)
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    opening = [end] if kind == "qa" else []
    texts = [[*opening, *row.ids][:context] for row in test]
    whole = [{"input_ids": ids, "target_start": 1} for ids in texts]
    learnt = [{"input_ids": row.ids, "target_start": row.answer_start} for row in train]
    return Scored(
        answer=losses,
        text=score_rows(model, whole, hardware, end, processes=processes),
        # Ends of text are control, not bytes of the user's text; their cost is counted all the same.
        text_bytes=sum(len(str(tokenizer.decode([i for i in ids[1:] if i != end])).encode()) for ids in texts),
        train=score_rows(model, learnt, hardware, end, processes=processes),
        checks=check_scores(model, answers, losses.scores, hardware, end, name),
    )


def answer_figures(asked: Sequence[TestQuestion], answers: Sequence[Answer], kind: str) -> dict[str, float]:
    """How near the answers come to the references (questions only: a text goes on in many good ways), and how they
    are said. Empty when nothing was asked."""
    if not asked:
        return {}
    texts, references = [answer.text.strip() for answer in answers], [one.reference for one in asked]
    near = overlap_metrics(texts, references) if kind == "qa" else {}
    return near | surface_metrics(texts, references, [answer.finish_reason == "stop" for answer in answers])


def differences(base: dict[str, float], tuned: dict[str, float]) -> dict[str, float]:
    """tuned - base for each figure both have, and by which share the answers' perplexity fell."""
    delta = {name: figure(tuned[name] - base[name]) for name in base if name in tuned}
    delta["perplexity_improvement"] = figure(1 - tuned["perplexity"] / base["perplexity"])
    return delta


def loss_evidence(
    base: Scores, tuned: Scores, clusters: Sequence[str] | None, resamples: int, seed: int
) -> dict[str, float]:
    """How sure the change of the answers' loss is: the bounds of its 95% interval by a paired bootstrap over clusters
    (rows where they are None), and the share of rows whose loss fell."""
    interval = paired_bootstrap(base.nll, tuned.nll, base.targets, clusters, resamples, seed)
    return {
        "loss_low": figure(interval.low),
        "loss_high": figure(interval.high),
        "rows_improved": figure(float((tuned.nll < base.nll).mean())),
    }


def f1_evidence(
    asked: Sequence[TestQuestion], before: Sequence[str], after: Sequence[str], resamples: int, seed: int
) -> dict[str, float]:
    """The difference of mean token F1, after - before, and the bounds of its 95% interval. Empty when nothing was
    asked."""
    if not asked:
        return {}
    earlier, later = (
        [token_f1(said, one.reference) for said, one in zip(texts, asked, strict=True)] for texts in (before, after)
    )
    clusters = [one.cluster for one in asked]
    interval = paired_bootstrap(earlier, later, [1.0] * len(asked), clusters, resamples, seed)
    return {"f1": figure(interval.difference), "f1_low": figure(interval.low), "f1_high": figure(interval.high)}
