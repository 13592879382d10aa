"""Every path of a project, relative to its root, in the order in which the data flows."""

import os
from pathlib import Path

PARAMS = Path("params.yaml")
PIPELINE = Path("dvc.yaml")
DVC_LOCK = Path("dvc.lock")
PRESETS = Path("presets")

RAW = Path("data/raw")
CORRECTIONS = RAW / "corrections.jsonl"

PREPARED = Path("data/prepared")
REJECTS = PREPARED / "rejects.jsonl"
LEAKAGE = PREPARED / "leakage.json"

TOKENIZED = Path("data/tokenized")
TOKENIZER = TOKENIZED / "tokenizer"

BASE_CATALOGUE = Path("models/bases.yaml")
BASES = Path("models/bases")  # a folder for each base, named as in the catalogue or as on the Hub

FINETUNED = Path("models/finetuned")
EXPORT = Path("models/export")
RECEIPT = EXPORT / "receipt.json"

CHECKPOINTS = Path(".checkpoints")  # in project_root()

METRICS = Path("metrics")
PREPARE_METRICS = METRICS / "prepare.json"
TOKENIZE_METRICS = METRICS / "tokenize.json"
TRAIN_METRICS = METRICS / "train.json"
PROVENANCE = METRICS / "provenance"  # one file per stage with the hashes of its code, settings and inputs
TRAIN_PROVENANCE = PROVENANCE / "train.json"
EVALUATE_METRICS = METRICS / "evaluate.json"
SAMPLES = METRICS / "samples.md"
ANSWERS = METRICS / "answers.jsonl"
REPORT = METRICS / "report.html"
PLOTS = METRICS / "plots"
EPOCH_CURVE = PLOTS / "epochs.csv"
STEP_CURVE = PLOTS / "steps.csv"
LENGTH_CURVE = PLOTS / "loss_by_length.csv"
POSITION_CURVE = PLOTS / "loss_by_position.csv"
CHARTS = PLOTS / "charts"

SPLITS = ("train", "validation", "test")
REWORDED = "reworded"  # beside the splits, for questions: wordings held back from train, whose answers it holds


def prepared_split(split: str) -> Path:
    """The JSON Lines file of one split, 'train', 'validation' or 'test', or of 'reworded'."""
    return PREPARED / f"{split}.jsonl"


def project_root() -> Path:
    """The project's folder: the current one or, in a copy that DVC made for an experiment, the original project.

    Such a copy lies in .dvc/tmp of the project, which DVC names in DVC_ROOT, and is removed when the experiment ends.
    Outside a copy DVC_ROOT is ignored, because it may be that of another project that started this one.
    """
    root = Path(os.environ.get("DVC_ROOT", "")).resolve()
    return root if Path.cwd().is_relative_to(root / ".dvc" / "tmp") else Path()


def expand_home(path: str | Path) -> Path:
    """The path with the home folder for ~. A name that only begins so stays, where Path.expanduser would raise."""
    return Path(os.path.expanduser(path))


def shown_path(path: str | Path) -> str:
    """The path as it may be published: relative inside the project, and only the last name of any other."""
    path = Path(path)
    if path.is_absolute() and path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    below_tilde = len(path.parts) > 1 and path.parts[0].startswith("~")
    inside = not path.is_absolute() and not below_tilde and ".." not in path.parts
    return os.fsencode(path.as_posix() if inside else path.name).decode("utf-8", errors="replace")
