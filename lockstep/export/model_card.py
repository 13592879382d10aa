"""The model card: what the export is, what it was made from, and how well it does."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from jinja2 import UndefinedError

from lockstep.core.errors import LockstepError
from lockstep.core.paths import EVALUATE_METRICS, TRAIN_METRICS, shown_path
from lockstep.export.templating import environment

TEMPLATES = Path(__file__).parent / "templates"
LABELS = {  # figures of the card's table
    "loss": "loss of the answers (nats per token)",
    "perplexity": "perplexity of the answers",
    "accuracy": "next-token accuracy",
    "text_perplexity": "perplexity of the whole text",
    "bits_per_byte": "bits per byte of the whole text",
}
INDEXED = {  # figures of the model-index, where the Hub looks for them; all but F1 are in the table too
    "perplexity": LABELS["perplexity"],
    "accuracy": LABELS["accuracy"],
    "bits_per_byte": LABELS["bits_per_byte"],
    "f1": "token F1 of generated answers",  # only where evaluate generated answers to questions
}


def model_card(title: str, base: Mapping[str, Any], data: str, **facts: Any) -> str:
    """The card in Markdown, with front matter for the Hub.

    title: the model's name. base: where it is from, see base_origin. data: data.path of params.yaml. facts: prompt
    (Prompt), and the metrics evaluate and train. The card holds no secret, time or host, and of a path that leaves the
    project only the last name. Raises LockstepError where a figure is missing.
    """
    shown_data = shown_path(data)
    templates = environment(TEMPLATES, autoescape=False, code=lambda text: "`" + str(text).replace("`", "'") + "`")
    try:
        text = templates.get_template("card.md.j2").render(
            title=title,
            base=base,
            data=shown_data,
            kind="questions and answers" if facts["prompt"].kind == "qa" else "plain texts",
            licence=f", licence {base['licence']}" if base.get("licence", "unknown") != "unknown" else "",
            labels=LABELS,
            **facts,
        )
    except UndefinedError as error:
        raise LockstepError(
            f"{EVALUATE_METRICS} or {TRAIN_METRICS} is damaged: {error}.", "Run `make evaluate` to make them again."
        ) from None
    front_matter = ModelCardData(
        base_model=base["from"] if base["source"] == "hub" else None,  # the Hub takes nothing but ids of its own here
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=["lockstep"],
        model_name=title,
        eval_results=_eval_results(facts["evaluate"]["tuned"], shown_data),
    )
    return str(ModelCard(f"---\n{front_matter.to_yaml()}\n---\n\n{text}"))


def _eval_results(tuned: dict[str, float], data: str) -> list[EvalResult]:
    """The tuned model's figures for the model-index, which has no place for those of a second model, the base."""
    return [
        EvalResult(
            task_type="text-generation",
            dataset_type="custom",  # the user's own files, no dataset of the Hub
            dataset_name=data,
            dataset_split="test",
            metric_type=name,
            metric_name=label,
            metric_value=tuned[name],
        )
        for name, label in INDEXED.items()
        if name in tuned
    ]
