"""The fields that a prompt template must have, checked where settings are read and where a prompt is made."""

QUESTION, ANSWER = "{question}", "{answer}"


def has_both_fields(template: str) -> bool:
    """Whether a template has {question} exactly once and, after it, {answer} exactly once."""
    question, answer = template.find(QUESTION), template.find(ANSWER)
    return 0 <= question < answer and template.count(QUESTION) + template.count(ANSWER) == 2
