"""What evaluate writes: the figures, every answer, and the curves and charts."""

from collections.abc import Sequence
from typing import Any

from lockstep.artifacts.records import Question
from lockstep.core.atomic_files import figure, whole_folder, write_json, write_json_lines, write_text
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
from lockstep.evaluation.charts import binned_curve, learning_curves, learning_rate, row_changes, score_bars
from lockstep.evaluation.loss_breakdown import csv_of, loss_by_length, loss_by_position, read_csv
from lockstep.evaluation.memorization import verbatim_metrics
from lockstep.evaluation.retrieval_baseline import nearest_questions
from lockstep.evaluation.score_models import Scored, answer_figures, differences, f1_evidence, loss_evidence
from lockstep.evaluation.test_answers import samples_markdown
from lockstep.evaluation.test_set import HeldOut
from lockstep.evaluation.text_metrics import answer_chrf, overlap_metrics, token_f1
from lockstep.generation.engine import Answer

Answers = dict[str, list[str]]  # 'base', 'tuned' and, for questions, 'retrieval' -> texts


def answer_texts(held_out: HeldOut, answers: dict[str, list[Answer]]) -> Answers:
    """The models' answers as text, and for questions those of the nearest training question."""
    texts = {name: [answer.text.strip() for answer in said] for name, said in answers.items()}
    if held_out.kind == "qa" and held_out.asked:
        trained = [record for record in held_out.training_records() if isinstance(record, Question)]
        nearest = nearest_questions([one.question for one in trained], [one.question for one in held_out.asked])
        texts["retrieval"] = [trained[index].answer for index in nearest]
    return texts


def evaluation_metrics(
    held_out: HeldOut,
    scored: dict[str, Scored],
    answers: dict[str, list[Answer]],
    texts: Answers,
    settings: Evaluate,
    seed: int,
) -> dict[str, Any]:
    """The figures of metrics/evaluate.json. scored and answers: of 'base' and 'tuned'. docs/evaluation.md says what
    each means."""
    asked, references = held_out.asked, [one.reference for one in held_out.asked]
    figures = {name: scored[name].figures | answer_figures(asked, answers[name], held_out.kind) for name in scored}
    if asked:
        verbatim = verbatim_metrics({name: texts[name] for name in scored}, references, held_out.training_records())
        figures = {name: figures[name] | verbatim[name] for name in figures}
    base, tuned = (scored[name].answer.scores for name in ("base", "tuned"))
    delta = differences(scored["base"].figures, scored["tuned"].figures)
    delta |= loss_evidence(base, tuned, held_out.clusters, settings.bootstrap_resamples, seed)
    metrics: dict[str, Any] = {
        "kind": held_out.kind,
        "test_rows": len(held_out.rows),
        "answered": len(asked),
        "leakage": held_out.leakage,
        **figures,
        "delta": delta,
    }
    if "retrieval" in texts:
        evidence = (settings.bootstrap_resamples, seed)
        delta |= f1_evidence(asked, texts["base"], texts["tuned"], *evidence)
        metrics["retrieval"] = overlap_metrics(texts["retrieval"], references)
        metrics["vs_retrieval"] = f1_evidence(asked, texts["retrieval"], texts["tuned"], *evidence)
    checks = {f"{name}_{kind}": error for name in scored for kind, error in scored[name].checks.items()}
    return metrics | {"checks": checks}


def answer_lines(held_out: HeldOut, texts: Answers, answers: dict[str, list[Answer]]) -> list[dict[str, Any]]:
    """One line per question asked: id, question, reference, each answer, and how near the fine-tuned one comes."""
    lines = []
    for place, one in enumerate(held_out.asked):
        said = {name: texts[name][place] for name in texts}
        lines.append(
            {"id": one.id, "question": one.question, "reference": one.reference, **said}
            | {"ended": answers["tuned"][place].finish_reason == "stop"}
            | {"f1": figure(token_f1(said["tuned"], one.reference))}
            | {"chrf": figure(answer_chrf(said["tuned"], one.reference))}
        )
    return lines


def write_evidence(
    metrics: dict[str, Any], lines: Sequence[dict[str, Any]], scored: dict[str, Scored], kind: str, samples: int
) -> None:
    """Write metrics/evaluate.json, answers.jsonl, samples.md, the two loss curves and the charts."""
    base, tuned = scored["base"].answer, scored["tuned"].answer
    by_length, by_position = loss_by_length(base, tuned), loss_by_position(base, tuned)
    write_json(EVALUATE_METRICS, metrics)
    write_json_lines(ANSWERS, lines)
    write_text(SAMPLES, samples_markdown(lines[:samples], kind))
    write_text(LENGTH_CURVE, csv_of(by_length))
    write_text(POSITION_CURVE, csv_of(by_position))
    changes = tuned.scores.nll / tuned.scores.targets - base.scores.nll / base.scores.targets
    steps = read_csv(STEP_CURVE)
    what = "answer" if kind == "qa" else "row"
    charts = {
        "learning": learning_curves(read_csv(EPOCH_CURVE), steps),
        "learning_rate": learning_rate(steps),
        "rows": row_changes(changes),
        "length": binned_curve(by_length, f"tokens of the {what}"),
        "position": binned_curve(by_position, f"place of the token in the {what}"),
    }
    if "retrieval" in metrics:
        charts["scores"] = score_bars(metrics)
    with whole_folder(CHARTS) as folder:
        for name, chart in charts.items():
            write_text(folder / f"{name}.svg", chart)
