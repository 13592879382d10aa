"""Computes the figures of metrics/evaluate.json, and writes them with the answers, curves and charts."""

from collections.abc import Sequence
from typing import Any

from lockstep.artifacts.records import Question
from lockstep.core.atomic_files import (
    figure,
    read_points,
    whole_folder,
    write_json,
    write_json_lines,
    write_points,
    write_text,
)
from lockstep.core.paths import (
    ANSWERS,
    CHARTS,
    EPOCH_CURVE,
    EVALUATE_METRICS,
    LENGTH_CURVE,
    POSITION_CURVE,
    SAMPLES,
    STEP_CURVE,
)
from lockstep.core.settings import Evaluate
from lockstep.evaluation.answers import samples_markdown
from lockstep.evaluation.charts import binned_curve, learning_curves, learning_rate, row_changes, score_bars
from lockstep.evaluation.held_out import HeldOut
from lockstep.evaluation.loss_breakdown import loss_by_length, loss_by_position
from lockstep.evaluation.memorization import verbatim_metrics
from lockstep.evaluation.retrieval_baseline import nearest_questions
from lockstep.evaluation.score_models import ModelScores, answer_figures, differences, f1_evidence, loss_evidence
from lockstep.evaluation.text_metrics import answer_chrf, overlap_metrics, token_f1
from lockstep.generation.engine import Answer

Answers = dict[str, list[str]]  # 'base', 'tuned' and, for questions, 'retrieval' -> texts


def answer_texts(held_out: HeldOut, answers: dict[str, list[Answer]]) -> Answers:
    """The models' answers as text, and for questions the answers of the nearest training questions."""
    texts = {name: [answer.text.strip() for answer in of_model] for name, of_model in answers.items()}
    if held_out.kind == "qa" and held_out.questions:
        train = [record for record in held_out.training_records() if isinstance(record, Question)]
        nearest = nearest_questions(
            [record.question for record in train], [question.question for question in held_out.questions]
        )
        texts["retrieval"] = [train[index].answer for index in nearest]
    return texts


def evaluation_metrics(
    held_out: HeldOut,
    scores: dict[str, ModelScores],
    answers: dict[str, list[Answer]],
    texts: Answers,
    settings: Evaluate,
    seed: int,
) -> dict[str, Any]:
    """The figures of metrics/evaluate.json. docs/evaluation.md says what each of them means.

    scores, answers: those of 'base' and of 'tuned'. texts: see answer_texts.
    """
    questions, references = held_out.questions, [question.reference for question in held_out.questions]
    figures = {name: scores[name].figures | answer_figures(questions, answers[name], held_out.kind) for name in scores}
    if questions:
        verbatim = verbatim_metrics({name: texts[name] for name in scores}, references, held_out.training_records())
        figures = {name: figures[name] | verbatim[name] for name in figures}
    base, tuned = (scores[name].answer.scores for name in ("base", "tuned"))
    delta = differences(scores["base"].figures, scores["tuned"].figures)
    delta |= loss_evidence(base, tuned, held_out.clusters, settings.bootstrap_resamples, seed)
    metrics: dict[str, Any] = {
        "kind": held_out.kind,
        "test_rows": len(held_out.rows),
        "answered": len(questions),
        "leakage": held_out.leakage,
        **figures,
        "delta": delta,
    }
    if "retrieval" in texts:
        bootstrap = (settings.bootstrap_resamples, seed)
        delta |= f1_evidence(questions, texts["base"], texts["tuned"], *bootstrap)
        metrics["retrieval"] = overlap_metrics(texts["retrieval"], references)
        metrics["vs_retrieval"] = f1_evidence(questions, texts["retrieval"], texts["tuned"], *bootstrap)
    checks = {f"{name}_{kind}": error for name in scores for kind, error in scores[name].checks.items()}
    return metrics | {"checks": checks}


def answer_lines(held_out: HeldOut, texts: Answers, answers: dict[str, list[Answer]]) -> list[dict[str, Any]]:
    """The lines of metrics/answers.jsonl, one per question.

    Each has the question's id, question and reference, every answer to it, whether the fine-tuned model ended its
    answer by itself, and that answer's token F1 and chrF.
    """
    lines = []
    for index, question in enumerate(held_out.questions):
        answer_of = {name: texts[name][index] for name in texts}
        lines.append(
            {"id": question.id, "question": question.question, "reference": question.reference, **answer_of}
            | {"ended": answers["tuned"][index].finish_reason == "stop"}
            | {"f1": figure(token_f1(answer_of["tuned"], question.reference))}
            | {"chrf": figure(answer_chrf(answer_of["tuned"], question.reference))}
        )
    return lines


def write_evidence(
    metrics: dict[str, Any], lines: Sequence[dict[str, Any]], scores: dict[str, ModelScores], kind: str, samples: int
) -> None:
    """Write metrics/evaluate.json, answers.jsonl, samples.md, the two curves of the loss and the charts.

    metrics: of evaluation_metrics. lines: of answer_lines; the first `samples` of them go into samples.md.
    scores: those of 'base' and of 'tuned'. kind: 'qa' or 'text'.
    Raises LockstepError when a file can't be written, or the curves of training are missing.
    """
    base, tuned = scores["base"].answer, scores["tuned"].answer
    by_length, by_position = loss_by_length(base, tuned), loss_by_position(base, tuned)
    write_json(EVALUATE_METRICS, metrics)
    write_json_lines(ANSWERS, lines)
    write_text(SAMPLES, samples_markdown(lines[:samples], kind))
    write_points(LENGTH_CURVE, by_length)
    write_points(POSITION_CURVE, by_position)
    changes = tuned.scores.nll / tuned.scores.targets - base.scores.nll / base.scores.targets  # (rows,) nats per token
    steps = read_points(STEP_CURVE, "make train")
    unit = "answer" if kind == "qa" else "row"
    charts = {
        "learning": learning_curves(read_points(EPOCH_CURVE, "make train"), steps),
        "learning_rate": learning_rate(steps),
        "rows": row_changes(changes),
        "length": binned_curve(by_length, f"tokens of the {unit}"),
        "position": binned_curve(by_position, f"place of the token in the {unit}"),
    }
    if "retrieval" in metrics:
        charts["scores"] = score_bars(metrics)
    with whole_folder(CHARTS) as folder:
        for name, chart in charts.items():
            write_text(folder / f"{name}.svg", chart)
