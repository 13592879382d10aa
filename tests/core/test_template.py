"""A prompt template has both of its fields, each once, the question first."""

import pytest

from lockstep.core.template import has_both_fields


@pytest.mark.parametrize(
    ("template", "valid"),
    [
        ("{question}{answer}", True),
        ("Q: {question}\nA: {answer} {other}", True),
        ("{answer} {question}", False),
        ("{question}", False),
        ("{answer}", False),
        ("{question} {answer} {answer}", False),
        ("{question} {question} {answer}", False),
    ],
)
def test_a_template_needs_the_question_once_and_the_answer_once_after_it(template: str, valid: bool) -> None:
    assert has_both_fields(template) is valid
