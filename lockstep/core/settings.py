"""params.yaml as typed, frozen values; unknown, missing and impossible settings are refused, all in one error.

params.yaml says what each setting means, this file which values it may have. There are no defaults here, so that
params.yaml alone holds the values. A stage's main() reads whole sections or single keys as `params.section.key`; a
test compares those with what dvc.yaml declares for the stage.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from lockstep.core.errors import LockstepError
from lockstep.core.paths import PARAMS
from lockstep.core.settings_errors import describe_problems
from lockstep.core.template import has_both_fields
from lockstep.core.yaml_files import read_yaml


def _no_bool(value: Any) -> Any:
    """Refuse true and false, which Python would take for the numbers 1 and 0."""
    if isinstance(value, bool):
        raise ValueError("a number is needed, not true or false")
    return value


def _none(value: Any) -> Any:
    """Read the word none as Python's None. params.yaml writes it out because YAML's own null is easily overlooked."""
    return None if value == "none" else value


SCRATCH = "scratch"  # the value of model.base that stands for random weights
Auto = Literal["auto"]  # the value is chosen from the data and the base
Number = BeforeValidator(_no_bool)
Optional = BeforeValidator(_none)
Whole = Annotated[int, Number, Field(ge=0, le=10**9)]
Count = Annotated[int, Number, Field(ge=1, le=10**9)]
Name = Annotated[str, Field(min_length=1)]
Fraction = Annotated[float, Number, Field(ge=0, le=1)]
Positive = Annotated[float, Number, Field(gt=0)]
NotNegative = Annotated[float, Number, Field(ge=0)]


class Section(BaseModel):
    """A section of params.yaml: frozen, with exactly the keys of its class, and without infinite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())


class Data(Section):
    """`data`: the user's files and how they are read."""

    path: Name
    files: Name | Annotated[list[Name], Field(min_length=1)]
    kind: Literal["auto", "qa", "text"]
    question: Name
    answer: Name
    context: Annotated[str | None, Optional]
    header: bool
    delimiter: str
    encoding: str
    html: bool
    passage_chars: Whole
    corrections: bool


class Split(Section):
    """`split`: how rows are divided into train, validation and test."""

    method: Literal["hash", "random"]
    train: Annotated[float, Number, Field(gt=0, le=1)]
    validation: Fraction
    test: Fraction
    near_duplicate_threshold: Annotated[float, Number, Field(gt=0, le=1)]
    reworded: bool

    @model_validator(mode="after")
    def _sum_is_one(self) -> "Split":
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train, validation and test sum to {total:g}; make them sum to 1")
        return self


def _template(value: str) -> str:
    if value != "auto" and not has_both_fields(value):
        raise ValueError("auto is needed, or a text with {question} once and, after it, {answer} once")
    return value


class Prompt(Section):
    """`prompt`: how a question and its answer become one text, and which part of it is learned."""

    template: Annotated[str, AfterValidator(_template)]
    system: Annotated[Name | None, Optional]
    loss_on: Literal["answer", "all"]


class Tokenize(Section):
    """`tokenize`: how long token rows are, and what happens to records that do not fit."""

    max_length: Annotated[int, Number, Field(ge=8)]
    overlong: Literal["truncate", "drop", "error"]
    block_size: Annotated[int, Number, Field(ge=8)]
    pad_token: Annotated[Name | None, Optional]


class Scratch(Section):
    """`model.scratch`: the size of a GPT-2 that begins with random weights."""

    vocab_size: Annotated[int, Number, Field(ge=257)]
    context: Annotated[int, Number, Field(ge=8)]
    n_layer: Count
    n_head: Count
    n_embd: Count

    @model_validator(mode="after")
    def _heads_divide_embedding(self) -> "Scratch":
        if self.n_embd % self.n_head:
            raise ValueError(f"n_embd {self.n_embd} is no multiple of n_head {self.n_head}")
        return self


class Model(Section):
    """`model`: the base that is fine-tuned."""

    base: Name
    revision: Annotated[Name | None, Optional]
    dropout: Annotated[Auto | Annotated[float, Number, Field(ge=0, lt=1)] | None, Optional]
    scratch: Scratch

    @model_validator(mode="after")
    def _scratch_has_no_revision(self) -> "Model":
        if self.base == SCRATCH and self.revision is not None:
            raise ValueError(f"base scratch has no revision {self.revision}; set revision to none")
        return self


class Device(Section):
    """`device`: the hardware and arithmetic of train and evaluate."""

    name: Literal["auto", "cpu", "cuda", "mps"]
    precision: Literal["auto", "fp32", "bf16"]
    threads: Literal["auto"] | Annotated[int, Number, Field(ge=1, le=1024)]
    deterministic: bool


class Lora(Section):
    """`train.lora`: the low-rank adapters that method lora trains."""

    rank: Count
    alpha: Positive
    dropout: Annotated[float, Number, Field(ge=0, lt=1)]
    targets: Literal["auto"] | Annotated[list[str], Field(min_length=1)]


class Train(Section):
    """`train`: the training loop and its optimizer."""

    method: Literal["full", "lora"]
    lora: Lora
    epochs: Auto | Count
    per_device_batch_size: Auto | Count
    gradient_accumulation_steps: Count
    packing: bool
    learning_rate: Auto | Positive
    lr_schedule: Literal["linear", "cosine", "constant"]
    warmup_ratio: Annotated[float, Number, Field(ge=0, lt=1)]  # Transformers takes 1 and more as a number of steps
    weight_decay: NotNegative
    max_grad_norm: Positive
    keep: Literal["auto", "best", "last"]
    early_stopping_patience: Whole
    checkpoint_minutes: Positive
    gradient_checkpointing: bool
    compile: bool
    num_processes: Literal["auto"] | Count
    accelerate_config: Annotated[str | None, Optional]


class Evaluate(Section):
    """`evaluate`: how many answers are generated and shown, and the bootstrap."""

    show: Whole
    generate: Whole
    generate_known: Whole
    bootstrap_resamples: Annotated[int, Number, Field(ge=100)]


def _amount(value: Any) -> Any:
    """A share such as '2%' as text, anything else as a number. Raises ValueError where it is neither or negative."""
    if isinstance(value, str) and re.fullmatch(r"\d+(\.\d+)?%", value.strip()):
        return value.strip()
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise ValueError("a number of at least 0 or a share such as 2% is needed")
    return float(value)


Bound = Annotated[float, Number]
Amount = Annotated[float | str, BeforeValidator(_amount)]


class Gate(Section):
    """`gates.NAME`: the bounds of one figure, at least one."""

    max: Bound | None = None
    min: Bound | None = None
    max_increase: Amount | None = None
    max_decrease: Amount | None = None

    @model_validator(mode="after")
    def _has_a_bound(self) -> "Gate":
        if not self.model_fields_set:
            raise ValueError(f"needs one of {', '.join(type(self).model_fields)}")
        return self


class Generation(Section):
    """`generation`: how the exported model answers; tokenize reads `lookup`, and evaluate all but the drawing."""

    max_new_tokens: Count
    temperature: NotNegative
    top_p: Annotated[float, Number, Field(gt=0, le=1)]
    top_k: Whole
    repetition_penalty: Positive
    history_turns: Whole
    lookup: Annotated[int, Number, Field(ge=0, le=8)]


class Export(Section):
    """`export`: how the model is stored, and where it is published."""

    dtype: Literal["fp32", "bf16", "fp16"]
    push_to_hub: bool
    hub_repo: Annotated[str | None, Optional]
    hub_private: bool
    push_lookup: bool


class Tracking(Section):
    """`tracking`: where MLflow records each stage."""

    enabled: bool
    uri: str
    experiment: str


class Params(Section):
    """All of params.yaml."""

    seed: Annotated[int, Number, Field(ge=0, le=(1 << 32) - 1)]  # the range that numpy, scikit-learn and torch share
    data: Data
    split: Split
    prompt: Prompt
    tokenize: Tokenize
    model: Model
    device: Device
    train: Train
    evaluate: Evaluate
    gates: dict[str, Gate]
    generation: Generation
    export: Export
    tracking: Tracking


def load_params(path: Path = PARAMS) -> Params:
    """Read and check all settings. Raises LockstepError naming each problem's key, its value and what is allowed."""
    return check_params(read_yaml(path), path)


def check_params(values: Any, path: Path = PARAMS) -> Params:
    """Turn parsed YAML into Params. Raises LockstepError as load_params does.

    path: the file that the values came from, for the error.
    """
    if not isinstance(values, dict):
        raise LockstepError(f"{path} holds no settings.", "Restore it with `git checkout params.yaml`.")
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        text = describe_problems(error, Params)
        end = "" if text.endswith("?") else "."
        raise LockstepError(f"{path}: {text}{end}", "Put it right there.") from None
