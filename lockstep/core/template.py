"""What a template of questions and answers must hold: the settings and the prompt both ask."""

QUESTION, ANSWER = "{question}", "{answer}"


def has_both_fields(template: str) -> bool:
    """Whether {question} is in a template once and, after it, {answer} once."""
    question, answer = template.find(QUESTION), template.find(ANSWER)
    return 0 <= question < answer and template.count(QUESTION) + template.count(ANSWER) == 2
