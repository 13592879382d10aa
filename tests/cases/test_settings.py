"""Bad settings: whatever is wrong with params.yaml or a preset, the user reads one line with key, value and remedy."""

from pathlib import Path

import pytest
from preparing import ROOT, Project, csv_of, faq
from refusals import refusal

SHIPPED = (ROOT / "params.yaml").read_text(encoding="utf-8").replace("data/raw/data_science.csv", "data/raw/data.csv")
FIELDS = "auto is needed, or a text with {question} once and, after it, {answer} once"
NO_YAML = "is not valid YAML"

# One line of params.yaml as shipped, what a person may write in its place, and what the error says of it.
BAD: list[tuple[str, str, str]] = [
    ("seed: 42", "seed: -1", "seed = -1: allowed is at least 0."),
    ("seed: 42", "seed: 99999999999", "seed = 99999999999: allowed is at most 4294967295."),
    ("seed: 42", "seed: [" + "x, " * 40 + "x]", "seed = ['x', 'x', 'x', ...]: allowed is a whole number."),
    ("seed: 42", "sed: 42", "seed is missing; sed: no such setting, did you mean seed?"),
    ("seed: 42", "seed: 42\n5: 6", "5: a number or none is no name of a setting."),
    ("  path: data/raw/data.csv", "  path:", "data.path is empty: allowed is a text."),
    ("  path: data/raw/data.csv", '  path: ""', "data.path = '': allowed is a text that is not empty."),
    ('  files: "*"', "  files: []", "data.files = []: allowed is a text or a list that is not empty."),
    ("  kind: auto", "  kind: pairs", "data.kind = 'pairs': allowed is 'auto', 'qa' or 'text'."),
    ("  question: auto", "  question: no", "data.question = false: allowed is a text."),
    ("  passage_chars: 2000", "  passage_chars: 2,000", "data.passage_chars = '2,000': allowed is a whole number."),
    ("  html: false", "  html: maybe", "data.html = 'maybe': allowed is true or false."),
    ("  method: hash", "  method: rnadom", "split.method = 'rnadom': allowed is 'hash' or 'random'."),
    ("  test: 0.1", "  test: 0.3", "split: train, validation and test sum to 1.2; make them sum to 1."),
    ("  train: 0.8", "  train: 80", "split.train = 80: allowed is at most 1."),
    ("  validation: 0.1", "  validation: -0.1", "split.validation = -0.1: allowed is at least 0."),
    ("  near_duplicate_threshold: 0.6", "  near_duplicate_threshold: .nan", "split.near_duplicate_threshold = nan: allowed is a finite number."),
    ("  template: auto", '  template: "Q: {question}"',
     f"prompt.template = 'Q: {{question}}': {FIELDS}."),
    ("  template: auto", '  template: "{answer} {question}"',
     f"prompt.template = '{{answer}} {{question}}': {FIELDS}."),
    ("  template: auto", "  template: {question}",
     "prompt.template = {'question': None}: allowed is a text."),
    ("  max_length: 256", "  max_length: 1.5", "tokenize.max_length = 1.5: allowed is a whole number."),
    ("  pad_token: none", '  pad_token: ""', "tokenize.pad_token = '': allowed is a text that is not empty."),
    ("  base: smollm2-135m", "  base: scratch\n  revison: none",
     "model.revison: no such setting, did you mean model.revision?"),
    ("  revision: none", "  revision: abc\n  base: scratch", "base is set twice"),
    ("  dropout: auto", "  dropout: 1", "model.dropout = 1: allowed is 'auto' or less than 1."),
    ("    n_embd: 256", "    n_embd: 250", "model.scratch: n_embd 250 is no multiple of n_head 4."),
    ("    vocab_size: 8192", "    vocab_size: 100", "model.scratch.vocab_size = 100: allowed is at least 257."),
    ("  name: auto", "  name: gpu", "device.name = 'gpu': allowed is 'auto', 'cpu', 'cuda' or 'mps'."),
    ("  threads: auto", "  threads: 0", "device.threads = 0: allowed is 'auto' or at least 1."),
    ("  epochs: auto", "  epochs: yes", "train.epochs = true: allowed is 'auto' or a number, not true or false."),
    ("  epochs: auto", "  epoch: 8",
     "train.epochs is missing; train.epoch: no such setting, did you mean train.epochs?"),
    ("  learning_rate: auto", "  learning_rate: .inf", "train.learning_rate = inf: allowed is 'auto' or a finite number."),
    ("  learning_rate: auto", "  learning_rate: 0,0005", "train.learning_rate = '0,0005': allowed is 'auto' or a number."),
    ("  warmup_ratio: 0.1", "  warmup_ratio: 1", "train.warmup_ratio = 1: allowed is less than 1."),
    ("  weight_decay: 0.1", "  weight_decay: -1", "train.weight_decay = -1: allowed is at least 0."),
    ("  bootstrap_resamples: 2000", "  bootstrap_resamples: 10", "evaluate.bootstrap_resamples = 10: allowed is at least 100."),
    ("  leakage: {max: 0}", "  leakage: {maxx: 0}",
     "gates.leakage.maxx: no such setting, did you mean gates.leakage.max?"),
    ("  leakage: {max: 0}", "  leakage: {}", "gates.leakage: needs one of max, min, max_increase, max_decrease."),
    ("  leakage: {max: 0}", "  leakage: 0", "gates.leakage = 0: allowed are settings below it, indented."),
    ("  top_p: 1.0", "  top_p: 0", "generation.top_p = 0: allowed is more than 0."),
    ("  dtype: fp32", "  dtype: int8", "export.dtype = 'int8': allowed is 'fp32', 'bf16' or 'fp16'."),
    ("  experiment: lockstep", "  experiment: 5", "tracking.experiment = 5: allowed is a text."),
]  # fmt: skip


def changed(old: str, new: str) -> str:
    """params.yaml as shipped, with one line replaced."""
    lines = SHIPPED.splitlines(keepends=True)
    [index] = [index for index, line in enumerate(lines) if line.split(" #")[0].rstrip() == old]
    return "".join([*lines[:index], new + "\n", *lines[index + 1 :]])


def error_line(prepared: Project, content: str | bytes) -> str:
    """The error that prepare, and the check before it, end with for a params.yaml of this content."""
    prepared.put("data.csv", csv_of(faq(12)))
    Path("params.yaml").write_bytes(content.encode() if isinstance(content, str) else content)
    line = refusal("prepare")
    assert refusal("check") == line  # `make repro` begins with it
    return line


@pytest.mark.parametrize(("old", "new", "message"), BAD, ids=[new.strip()[:40] for _, new, _ in BAD])
def test_bad_setting_is_refused_in_one_line(prepared: Project, old: str, new: str, message: str) -> None:
    if message.endswith("twice"):
        line = SHIPPED[: SHIPPED.index(old)].count("\n") + 2
        expected = f"params.yaml line {line} {NO_YAML}: {message}. Put that line right."
    else:
        expected = f"params.yaml: {message} Put it right there."
    assert error_line(prepared, changed(old, new)) == expected


LINE_OF_EPOCHS = SHIPPED[: SHIPPED.index("  epochs: auto")].count("\n") + 1
FILES: dict[str, tuple[str | bytes, str]] = {
    "a tab": (changed("  epochs: auto", "\tepochs: 8"), f"params.yaml line {LINE_OF_EPOCHS} {NO_YAML}: a tab stands before its text; indent with blanks. Put that line right."),
    "no closing bracket": (changed("seed: 42", "seed: [42"), f"params.yaml line 4 {NO_YAML}: a [ is opened and never closed. Put that line right."),
    "no closing quote": (changed('  files: "*"', '  files: "*'), f"params.yaml line 29 {NO_YAML}: its indentation does not fit the lines above, or a quote in them is not closed. Put that line right."),
    "two colons": (changed("seed: 42", "seed: 42: 43"), f"params.yaml line 4 {NO_YAML}: a colon too many (a text that holds one needs quotes), or wrong indentation. Put that line right."),
    "a section twice": (changed("prompt:", "split:"), f"params.yaml line 28 {NO_YAML}: split is set twice. Put that line right."),
    "a text with a star": (changed('  files: "*"', "  files: *"), f"params.yaml line 8 {NO_YAML}: a text that begins with * or & needs quotes. Put that line right."),
    "a date that can't be": (changed("seed: 42", "seed: 2024-13-45"), f"params.yaml line 4 {NO_YAML}: 2024-13-45 is no date or number. Put that line right."),
    "5,000 digits": (changed("seed: 42", "seed: " + "7" * 5000), f"params.yaml line 4 {NO_YAML}: {37 * '7'}... is no date or number. Put that line right."),
    "a Python object": (changed("seed: 42", "seed: !!python/object/apply:os.system [ls]"), f"params.yaml line 4 {NO_YAML}: a text that begins with ! needs quotes. Put that line right."),
    "a control character": (changed("seed: 42", "seed: \x07"), f"params.yaml line 4 {NO_YAML}: it holds a control character. Put that line right."),
    "10,000 brackets": ("[" * 10_000, "params.yaml is nested too deeply. Take brackets out of it."),
    "another encoding": ("# Größe\nseed: 42\n".encode("latin-1"), "params.yaml line 1 is not UTF-8 text. Save it as UTF-8."),
    "nothing": ("", "params.yaml holds no settings. Restore it with `git checkout params.yaml`."),
    "empty sections": ("seed: 42\ndata:\nsplit: 5\n", "params.yaml: data is empty: allowed are settings below it, indented; split = 5: allowed are settings below it, indented; prompt is missing; tokenize is missing; model is missing; device is missing; train is missing; evaluate is missing; gates is missing; generation is missing; export is missing; tracking is missing. Put it right there."),
}  # fmt: skip


@pytest.mark.parametrize(("content", "message"), FILES.values(), ids=FILES.keys())
def test_file_that_is_no_yaml_is_refused_in_one_line(prepared: Project, content: str | bytes, message: str) -> None:
    assert error_line(prepared, content) == message


def test_folder_in_place_of_the_settings_is_refused(prepared: Project) -> None:
    prepared.put("data.csv", csv_of(faq(12)))
    Path("params.yaml").unlink()
    Path("params.yaml").mkdir()
    assert refusal("prepare") == "Cannot read params.yaml: Is a directory. Put a readable file there."


PRESETS: dict[str, tuple[str | bytes, str]] = {
    "unknown key": ("train: {epoks: 3}\n", "presets/mine.yaml: train.epoks: no such setting, did you mean train.epochs? Put it right there."),
    "a key twice": ("seed: 3\nseed: 4\n", f"presets/mine.yaml line 2 {NO_YAML}: seed is set twice. Put that line right."),
    "no closing bracket": ("seed: [3\n", f"presets/mine.yaml line 1 {NO_YAML}: a [ is opened and never closed. Put that line right."),
    "binary": (b"\xff\xfe\x00", "presets/mine.yaml line 1 is not UTF-8 text. Save it as UTF-8."),
    "10,000 brackets": ("[" * 10_000, "presets/mine.yaml is nested too deeply. Take brackets out of it."),
    "nothing": ("# mine\n", "presets/mine.yaml holds no settings. Write them as in params.yaml."),
}  # fmt: skip


@pytest.mark.parametrize(("content", "message"), PRESETS.values(), ids=PRESETS.keys())
def test_bad_preset_is_refused_in_one_line(prepared: Project, content: str | bytes, message: str) -> None:
    Path("params.yaml").write_text(SHIPPED)
    Path("presets").mkdir()
    Path("presets/mine.yaml").write_bytes(content.encode() if isinstance(content, str) else content)
    assert refusal("preset", "mine") == message
    assert refusal("preset", "mien") == "There is no preset mien. Did you mean mine?"
    assert Path("params.yaml").read_text() == SHIPPED
