"""The model card: what the export is, what it was made from, how well it does."""

from typing import Any

from jinja2 import Environment, StrictUndefined, UndefinedError

from lockstep.core.errors import LockstepError
from lockstep.core.paths import EVALUATE_METRICS, TRAIN_METRICS, shown_path

CARD = """\
---
library_name: transformers
pipeline_tag: text-generation
base_model: {{ base | tojson }}
tags: [lockstep]
---

# {{ title }}

A causal language model fine-tuned with Lockstep on {{ data | code }} ({{ kind }}).
{% if prompt.kind == "qa" %}

It answers questions put in this form; the answer ends by itself with end-of-text:

```
{{ prompt.question_text("...") }}
```
{% else %}

It continues plain text.
{% endif %}

## Held-out figures

{{ evaluate.test_rows }} test rows that training never saw, not even as near-duplicates.

| | base | this model |
|---|---|---|
{% for name, label in labels.items() -%}
| {{ label }} | {{ evaluate.base[name] }} | {{ evaluate.tuned[name] }} |
{% endfor %}

Training: weights of epoch {{ train.kept_epoch }}, {{ train.parameters }} weights, {{ train.tokens }} tokens seen,
{{ train.device }}, {{ train.precision }}. {{ train.verdict | capitalize }}.

`receipt.json` holds the SHA-256 of these weights and of all they were made from: data, base, code and settings.

## Use

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("PATH_OR_ID")
model = AutoModelForCausalLM.from_pretrained("PATH_OR_ID")
```

## Limits

It knows what its base and its training rows said, and can be wrong with confidence. Check what it says before
you rely on it.
"""

LABELS = {
    "loss": "loss of the answers (nats per token)",
    "perplexity": "perplexity of the answers",
    "accuracy": "next-token accuracy",
    "text_perplexity": "perplexity of the whole text",
    "bits_per_byte": "bits per byte of the whole text",
}


def model_card(**facts: Any) -> str:
    """Markdown of the card.

    facts: title, base, data (path), prompt (Prompt), and the metrics of evaluate and train. Nothing in them is a
    secret, a time or a host. Of a path that leaves the project only the last name is told. Raises LockstepError where
    a figure is missing.
    """
    facts |= {name: shown_path(facts[name]) for name in ("base", "data")}
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True, autoescape=False)
    environment.filters["code"] = lambda text: "`" + str(text).replace("`", "'") + "`"
    kind = "questions and answers" if facts["prompt"].kind == "qa" else "plain texts"
    try:
        return environment.from_string(CARD).render(labels=LABELS, kind=kind, **facts)
    except UndefinedError as error:
        raise LockstepError(
            f"{EVALUATE_METRICS} or {TRAIN_METRICS} is damaged: {error}.", "Run `make evaluate` to make them again."
        ) from None
