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
from lockstep.evaluation.answered import Answered, figures_by_kind
from lockstep.evaluation.charts import binned_curve, learning_curves, learning_rate, row_changes, score_bars
from lockstep.evaluation.held_out import HeldOut
from lockstep.evaluation.loss_breakdown import loss_by_length, loss_by_position
from lockstep.evaluation.memorization import verbatim_metrics
from lockstep.evaluation.question_kinds import NEW
from lockstep.evaluation.retrieval_baseline import nearest_questions
from lockstep.evaluation.right_answers import RIGHT_F1, is_right
from lockstep.evaluation.samples import samples_markdown
from lockstep.evaluation.score_models import ModelScores, answer_figures, differences, f1_evidence, loss_evidence
from lockstep.evaluation.text_metrics import answer_chrf, overlap_metrics, token_f1
from lockstep.generation.engine import Answer


def with_retrieval(held_out: HeldOut, answers: dict[str, list[Answer]]) -> Answered:
    """The models' answers, and for questions those of the nearest training questions.

    The nearest to a known question is the training row itself, unless another has the same words.
    """
    texts = {name: [answer.text.strip() for answer in of_model] for name, of_model in answers.items()}
    if held_out.kind == "qa" and held_out.questions:
        train = [record for record in held_out.training_records() if isinstance(record, Question)]
        nearest = nearest_questions(
            [record.question for record in train], [question.question for question in held_out.questions]
        )
        texts["retrieval"] = [train[index].answer for index in nearest]
    return Answered(held_out.questions, answers, texts)


def evaluation_metrics(
    held_out: HeldOut,
    scores: dict[str, ModelScores],
    answered: Answered,
    settings: Evaluate,
    seed: int,
) -> dict[str, Any]:
    """The figures of metrics/evaluate.json. docs/evaluation.md says what each of them means.

    All but those under `questions` are of the test split: of its rows, and of the answers to new questions.
    scores: those of 'base' and of 'tuned'. answered: see with_retrieval.
    """
    new, bootstrap = answered.of_kind(NEW), (settings.bootstrap_resamples, seed)
    questions, references, texts = new.questions, new.references, new.texts
    figures = {
        name: scores[name].figures | answer_figures(questions, new.answers[name], held_out.kind) for name in scores
    }
    if questions:
        verbatim = verbatim_metrics({name: texts[name] for name in scores}, references, held_out.training_records())
        figures = {name: figures[name] | verbatim[name] for name in figures}
    base, tuned = (scores[name].answer.scores for name in ("base", "tuned"))
    delta = differences(scores["base"].figures, scores["tuned"].figures)
    delta |= loss_evidence(base, tuned, held_out.clusters, *bootstrap)
    metrics: dict[str, Any] = {
        "kind": held_out.kind,
        "test_rows": len(held_out.rows),
        "test_clusters": len(set(held_out.clusters or range(len(held_out.rows)))),
        "answered": len(questions),
        "leakage": held_out.leakage,
        **figures,
        "delta": delta,
    }
    if "retrieval" in texts:
        metrics |= {"right_f1": RIGHT_F1, "questions": figures_by_kind(answered, *bootstrap)}
    if "retrieval" in texts and questions:
        delta |= f1_evidence(questions, texts["base"], texts["tuned"], *bootstrap)
        metrics["retrieval"] = overlap_metrics(texts["retrieval"], references)
        metrics["vs_retrieval"] = f1_evidence(questions, texts["retrieval"], texts["tuned"], *bootstrap)
    checks = {f"{name}_{kind}": error for name in scores for kind, error in scores[name].checks.items()}
    return metrics | {"checks": checks}


def answer_lines(kind: str, answered: Answered) -> list[dict[str, Any]]:
    """The lines of metrics/answers.jsonl, one per question: the known ones, the reworded, the new.

    Each has the question's id, kind, question and reference, every answer to it, whether the fine-tuned model ended its
    answer by itself, whether that answer counts as right, its token F1 and its chrF. Of texts, which have no right
    answers and are all new, the kind and whether it is right are left out. kind: 'qa' or 'text'.
    """
    lines = []
    for index, question in enumerate(answered.questions):
        answer_of = {name: texts[index] for name, texts in answered.texts.items()}
        is_qa = kind == "qa"
        lines.append(
            {"id": question.id}
            | ({"kind": question.kind} if is_qa else {})
            | {"question": question.question, "reference": question.reference, **answer_of}
            | {"ended": answered.answers["tuned"][index].finish_reason == "stop"}
            | ({"right": is_right(answer_of["tuned"], question.reference)} if is_qa else {})
            | {"f1": figure(token_f1(answer_of["tuned"], question.reference))}
            | {"chrf": figure(answer_chrf(answer_of["tuned"], question.reference))}
        )
    return lines


def write_evidence(
    metrics: dict[str, Any], lines: Sequence[dict[str, Any]], scores: dict[str, ModelScores], kind: str, samples: int
) -> None:
    """Write metrics/evaluate.json, answers.jsonl, samples.md, the two curves of the loss and the charts.

    metrics: of evaluation_metrics. lines: of answer_lines; the first `samples` of each kind go into samples.md.
    scores: those of 'base' and of 'tuned'. kind: 'qa' or 'text'.
    Raises LockstepError when a file can't be written, or the curves of training are missing.
    """
    base, tuned = scores["base"].answer, scores["tuned"].answer
    by_length, by_position = loss_by_length(base, tuned), loss_by_position(base, tuned)
    write_json(EVALUATE_METRICS, metrics)
    write_json_lines(ANSWERS, lines)
    write_text(SAMPLES, samples_markdown(lines, metrics, samples))
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
