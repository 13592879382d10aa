"""Draws the charts of a run as SVG with Matplotlib. The same figures give the same bytes."""

import io
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from lockstep.evaluation.palette import COLOURS, INK, LINE

LABELS = {"base": "base", "tuned": "fine-tuned", "retrieval": "nearest question"}
SIZE = (5.0, 3.1)  # inches; the report scales a chart to the width of its column
MAX_ROW_BARS = 300  # bars of the chart of rows; of more rows, so many are drawn
SCORES = {"f1": "token F1", "rouge_l": "ROUGE-L", "chrf": "chrF", "exact_match": "exact match"}
STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 10,
    "svg.fonttype": "none",  # text is written as text, not as outlines
    "svg.hashsalt": "lockstep",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


def learning_curves(epochs: Sequence[dict[str, float]], steps: Sequence[dict[str, float]]) -> str:
    """Draw train and validation loss against tokens seen, and in pale the loss of the training batches.

    epochs: points of tokens, train_loss and, where there is a validation split, validation_loss.
    steps: points of tokens and loss.
    """
    with _style():
        figure, axes = _canvas("tokens seen", "loss (nats per token)")
        axes.plot([p["tokens"] for p in steps], [p["loss"] for p in steps], color=LINE, linewidth=1.2, label="batches")
        for key, name, label in (("train_loss", "retrieval", "train"), ("validation_loss", "tuned", "validation")):
            points = [point for point in epochs if key in point]
            if points:
                tokens, losses = [p["tokens"] for p in points], [p[key] for p in points]
                axes.plot(tokens, losses, color=COLOURS[name], marker="o", markersize=4, linewidth=2, label=label)
        axes.xaxis.set_major_formatter(_thousands)
        axes.grid(axis="x", visible=False)
        return _to_svg(figure, axes)


def score_bars(metrics: dict[str, Any]) -> str:
    """Draw the overlap metrics of the base, the fine-tuned model and the nearest training questions' answers.

    metrics: those of metrics/evaluate.json.
    """
    with _style():
        figure, axes = _canvas("", "")
        names = [name for name in ("base", "tuned", "retrieval") if "f1" in metrics.get(name, {})]
        height = 0.8 / max(len(names), 1)
        for number, name in enumerate(names):
            values = [metrics[name][key] / (100 if key == "chrf" else 1) for key in SCORES]
            heights = np.arange(len(values)) + number * height - 0.4 + height / 2  # (metrics,) the bars' middles
            bars = axes.barh(heights, values, height * 0.9, color=COLOURS[name], label=LABELS[name])
            axes.bar_label(bars, [f"{100 * value:.0f}" for value in values], padding=3, fontsize=9, color=INK)
        axes.set_yticks(range(len(SCORES)), list(SCORES.values()))
        axes.invert_yaxis()
        axes.set_xlim(0, 1.08)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100"])
        axes.grid(axis="y", visible=False)
        return _to_svg(figure, axes)


def learning_rate(steps: Sequence[dict[str, float]]) -> str:
    """Draw the learning rate against tokens seen. steps: points of tokens and learning_rate."""
    with _style():
        figure, axes = _canvas("tokens seen", "learning rate")
        tokens, rates = [p["tokens"] for p in steps], [p["learning_rate"] for p in steps]
        axes.plot(tokens, rates, color=COLOURS["tuned"], linewidth=2, label="AdamW")
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_formatter(_thousands)
        axes.grid(axis="x", visible=False)
        return _to_svg(figure, axes)


def binned_curve(points: Sequence[dict[str, float]], label: str) -> str:
    """Draw the loss of both models in bins.

    points: first and last of each bin, and the losses base and tuned. label: of the horizontal axis.
    """
    with _style():
        figure, axes = _canvas(label, "loss (nats per token)")
        names = [_span(int(point["first"]), int(point["last"])) for point in points]
        for name in ("base", "tuned"):
            values = [point[name] for point in points]
            axes.plot(names, values, color=COLOURS[name], marker="o", markersize=4, linewidth=2, label=LABELS[name])
        axes.set_ylim(bottom=0)
        axes.margins(x=0.08)
        axes.tick_params(axis="x", labelsize=9)
        axes.grid(axis="x", visible=False)
        return _to_svg(figure, axes)


def row_changes(changes: Iterable[float]) -> str:
    """Draw the change of each test row's loss, in nats per token, sorted: rows that got better lie below the line."""
    with _style():
        every = np.sort(np.asarray(list(changes)))  # (rows,)
        figure, axes = _canvas("share of test rows, most improved first", "change of loss")
        shares = (np.arange(min(len(every), MAX_ROW_BARS)) + 0.5) / min(len(every), MAX_ROW_BARS)  # (bars,)
        bars = every[(shares * len(every)).astype(int)]  # (bars,)
        for name, inside in (("better", every < 0), ("worse", every >= 0)):
            depth = np.where((bars < 0) == (name == "better"), bars, 0)  # (bars,)
            label = f"{inside.sum():,} {name}"
            axes.fill_between(shares, depth, step="mid", color=COLOURS[name], label=label, linewidth=0)
        axes.axhline(0, color=INK, linewidth=0.8)
        axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}%")
        axes.grid(axis="x", visible=False)
        return _to_svg(figure, axes)


def _style() -> AbstractContextManager[None]:
    """Matplotlib's defaults with STYLE. A user's matplotlibrc may not change a chart's bytes, so it is ignored."""
    return style.context(STYLE, after_reset=True)


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}–{last}"


def _thousands(value: float, _: object) -> str:
    return f"{value / 1000:g}k" if value < 1e6 else f"{value / 1e6:g}M"


def _canvas(x_label: str, y_label: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    return figure, axes


def _to_svg(figure: Figure, axes: Axes) -> str:
    """The chart as SVG, with a legend above it, and without date or version."""
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=4, borderaxespad=0.2, handlelength=1.2, columnspacing=1.2
    )
    file = io.StringIO()
    FigureCanvasSVG(figure).print_svg(file, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"
