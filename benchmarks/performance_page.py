"""Puts the figures of benchmarks.side_by_side into docs/performance.md, between its markers, and draws their chart.

python -m benchmarks.performance_page RESULT.json [RESULT.json ...]
"""

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.page_section import PAGE, write_section

CHART = PAGE.with_suffix(".png")
NAMES = {
    "usual": "usual recipe: Trainer, padded to 128, fp32",
    "blocks": "run_clm: blocks of 128, fp32",
    "trl": "TRL SFTTrainer",
    "trl packed": "TRL SFTTrainer, packed",
    "lockstep fp32": "this pipeline without bf16 units, fp32",
    "lockstep": "this pipeline",
}


def table(result: dict[str, Any]) -> str:
    """One result as Markdown."""
    lines = [
        f"**{result['title']}**: {result['hardware']}; {result['rows']} rows, {result['steps']} steps, "
        f"{result['rounds']} interleaved rounds, medians; matrix-product peak {result['matrix_peak_gflops']} GFLOP/s.",
        "",
        "| recipe | seconds | times as fast | rows/s | held-out loss | peak memory, MB | utilisation |",
        "|---|---|---|---|---|---|---|",
    ]
    for line in result["recipes"]:
        cells = [NAMES[line["recipe"]], line["seconds"], line["times_as_fast_as_first"], line["rows_per_second"]]
        cells += [line["held_out_loss"], line["peak_memory_mb"], f"{line['utilisation']:.0%}"]
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(lines)


def draw(results: list[dict[str, Any]]) -> None:
    """Bars: seconds of each recipe, one panel a result, ours in colour."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(results), figsize=(5.2 * len(results), 3.2), squeeze=False)
    for panel, result in zip(panels[0], results, strict=True):
        recipes = result["recipes"][::-1]
        colours = ["#1f6f8b" if line["recipe"].startswith("lockstep") else "#b8c1c8" for line in recipes]
        bars = panel.barh([line["recipe"] for line in recipes], [line["seconds"] for line in recipes], color=colours)
        panel.bar_label(bars, fmt="%.0f s", padding=3)
        panel.set_title(result["title"], fontsize=10, loc="left")
        panel.margins(x=0.18)
        panel.spines[["top", "right", "bottom"]].set_visible(False)
        panel.tick_params(bottom=False, labelbottom=False, left=False)
    figure.tight_layout()
    figure.savefig(CHART, dpi=110, metadata={"Software": None})


def main() -> None:
    """Rewrite the page and the chart."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.performance_page", description=__doc__)
    parser.add_argument("results", nargs="+", type=Path)
    options = parser.parse_args()
    results = [json.loads(path.read_text(encoding="utf-8")) for path in options.results]
    write_section("side by side", "\n\n".join(table(result) for result in results))
    draw(results)


if __name__ == "__main__":
    main()
