"""How prepare, tokenize and the start of training grow with the data, beside the script people write.

    python -m benchmarks.data_scale OUT.json [--sizes 10000 100000 1000000] [--texts 0.1 1] [--folder FOLDER] [--page]

Rows of questions and answers (--sizes) and gigabytes of text (--texts) are generated, the same each time. A step that
OUT.json holds already is not run again. Prints the tables for docs/performance.md.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from benchmarks.generated_data import Writer, write_questions, write_texts
from benchmarks.page_section import machine, write_section
from benchmarks.watched import watched

ROOT = Path(__file__).resolve().parents[1]
CLUSTERING = "lockstep.data.splitting:assign_splits"
STEPS = ("prepare", "tokenize", "train, to its first step", "pandas and datasets.map")
GIGABYTE = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Size:
    """kind: 'questions' or 'texts'. amount: rows, or bytes."""

    kind: str
    amount: int

    def __str__(self) -> str:
        return f"{self.amount:,} rows" if self.kind == "questions" else f"{self.amount / GIGABYTE:g} GB of text"


def make_project(folder: Path, size: Size) -> Path:
    """A project folder with the data and params.yaml as shipped, but for these: no tracker, no validation split (else
    training would first score it), all of the texts' bytes. Returns the data's path."""
    writer = Writer(ROOT / "data/raw/texts")
    data = folder / "data/raw" / ("rows.csv" if size.kind == "questions" else "texts")
    if not data.exists():
        data.parent.mkdir(parents=True, exist_ok=True)
        if size.kind == "questions":
            write_questions(data, writer, size.amount)
        else:
            write_texts(data, writer, size.amount)
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["data"]["path"] = str(data.relative_to(folder))
    params["split"].update(train=0.9, validation=0, test=0.1)
    params["tracking"]["enabled"] = False
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    shutil.copy(ROOT / "dvc.yaml", folder)
    shutil.copytree(ROOT / "models/tiny", folder / "models/tiny", dirs_exist_ok=True)
    shutil.copy(ROOT / "models/bases.yaml", folder / "models/bases.yaml")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-m", "stages.base"], cwd=folder, env=environment, check=True)
    return data


def measure(step: str, folder: Path, data: Path) -> dict[str, Any]:
    """Run one step in a project's folder; what it cost."""
    environment = {"PYTHONPATH": str(ROOT), "HF_DATASETS_CACHE": str(folder / "cache"), "OMP_WAIT_POLICY": "passive"}
    python = [sys.executable, "-m"]
    timings = folder / "timings.json"
    commands = {
        "prepare": [*python, "benchmarks.timed_stage", str(timings), "prepare", CLUSTERING],
        "tokenize": [*python, "stages.tokenize"],
        "train, to its first step": [*python, "benchmarks.first_step"],
        "pandas and datasets.map": [*python, "benchmarks.plain_tokenize", str(data), "models/tiny", "plain"],
    }
    result: dict[str, Any] = asdict(watched(commands[step], folder, environment))
    if step == "prepare":
        result["clustering_seconds"] = json.loads(timings.read_text())[CLUSTERING.rpartition(":")[2]]
        result["rows"] = json.loads((folder / "metrics/prepare.json").read_text())["rows"]
    elif step == "tokenize":
        result["tokens"] = json.loads((folder / "metrics/tokenize.json").read_text())["tokens"]
    elif step == "pandas and datasets.map":
        shutil.rmtree(folder / "plain")
        shutil.rmtree(folder / "cache", ignore_errors=True)
    return result


def exponent(sizes: list[int], seconds: list[float]) -> float:
    """The slope of log(seconds) over log(size), least squares: 1 is linear."""
    x, y = [math.log(size) for size in sizes], [math.log(value) for value in seconds]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    spread = sum((a - mean_x) ** 2 for a in x)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread


def exponents(lines: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """The exponents of time for each kind and step: of the seconds over all sizes, of those between the two largest
    (where starting up counts for least), and of the processor's seconds over all sizes."""
    by_step: dict[str, dict[str, float]] = {}
    for kind, step in product(("questions", "texts"), STEPS):
        measured = sorted(
            (line["amount"], line["seconds"], line["processor_seconds"])
            for line in lines
            if (line["kind"], line["step"]) == (kind, step)
        )
        if len(measured) > 1:
            sizes, seconds, worked = (list(column) for column in zip(*measured, strict=True))
            by_step[f"{kind}: {step}"] = {
                "all": round(exponent(sizes, seconds), 2),
                "largest": round(exponent(sizes[-2:], seconds[-2:]), 2),
                "processor": round(exponent(sizes, worked), 2),
            }
    return by_step


def table(result: dict[str, Any]) -> str:
    """The lines and the exponents in Markdown."""
    rows = [
        f"{result['machine']}:",
        "",
        "| data | step | seconds | processor seconds | cores used | peak MB, all processes |",
        "|---|---|---|---|---|---|",
    ]
    for line in result["lines"]:
        clustering = f" (clustering {line['clustering_seconds']:,})" if "clustering_seconds" in line else ""
        cells = [Size(line["kind"], line["amount"]), line["step"], f"{line['seconds']:,}{clustering}"]
        cells += [f"{line['processor_seconds']:,}", line["cores"], f"{line['peak_mb']:,}"]
        rows.append(f"| {' | '.join(map(str, cells))} |")
    rows += ["", "| exponent of time | all sizes | the two largest | processor seconds |", "|---|---|---|---|"]
    rows += [f"| {name} | {' | '.join(map(str, value.values()))} |" for name, value in result["exponents"].items()]
    return "\n".join(rows)


def main() -> None:
    """Measure what OUT.json lacks and print the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.data_scale",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--sizes", nargs="*", type=int, default=[10_000, 100_000, 1_000_000], help="rows")
    parser.add_argument("--texts", nargs="*", type=float, default=[0.01, 0.1, 1.0], help="gigabytes")
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=STEPS)
    parser.add_argument("--folder", type=Path, help="where data and outputs are kept; else a folder that is removed")
    parser.add_argument("--page", action="store_true", help="put the tables into docs/performance.md")
    options = parser.parse_args()
    result: dict[str, Any] = (
        json.loads(options.out.read_text()) if options.out.exists() else {"lines": [], "exponents": {}}
    )
    result["machine"] = machine()
    wanted = [Size("questions", rows) for rows in options.sizes]
    wanted += [Size("texts", round(amount * GIGABYTE)) for amount in options.texts]
    with tempfile.TemporaryDirectory(prefix="lockstep-scale-") as temporary:
        for size in wanted:
            done = {
                line["step"] for line in result["lines"] if (line["kind"], line["amount"]) == (size.kind, size.amount)
            }
            steps = [step for step in STEPS if step in options.steps and step not in done]
            folder = (options.folder or Path(temporary)) / f"{size.kind}-{size.amount}"
            data = make_project(folder, size) if steps else None
            for step in steps:
                line = {"kind": size.kind, "amount": size.amount, "step": step, **measure(step, folder, data)}
                print(json.dumps(line), flush=True)
                result["lines"].append(line)
                result["exponents"] = exponents(result["lines"])
                options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
            if options.folder is None:
                shutil.rmtree(folder, ignore_errors=True)
    print(table(result))
    if options.page:
        write_section("data at scale", table(result))


if __name__ == "__main__":
    main()
