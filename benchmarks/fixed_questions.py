"""fixed_questions: asks models/export the sixty questions of tests/questions; every answer goes to docs/answers.md.

    python -m benchmarks.fixed_questions

Each answer is graded by a reader: good, acceptable, wrong or nonsense. The grades stand in tests/questions/grades.jsonl
with the answer they were given for; an answer that nobody has graded yet has a question mark.
"""

import json
from collections import Counter
from pathlib import Path

QUESTIONS = Path("tests/questions/questions.jsonl")
GRADES = Path("tests/questions/grades.jsonl")
PAGE = Path("docs/answers.md")
KINDS = {
    "known": "Training questions in their own words",
    "reworded": "Training questions in other words",
    "new": "Questions that are not in the data",
}
ORDER = ("good", "acceptable", "wrong", "nonsense", "?")
HEAD = """# Sixty answers

The default model's answers to sixty questions that were fixed before it was trained ([how they were
chosen](../tests/questions/README.md)), each graded by a reader who knows the subject: *good* is right and says what
matters, *acceptable* is right but incomplete or clumsy, *wrong* misleads, *nonsense* can't be understood. None is left
out. `python -m benchmarks.fixed_questions` makes this page.
"""


def main() -> None:
    """Ask, count and write the page."""
    from lockstep.chat.load_export import load_exported
    from lockstep.core.atomic_files import write_text
    from lockstep.core.paths import EXPORT
    from lockstep.generation.conversation import prompt_ids

    assistant = load_exported(str(EXPORT))
    questions = [json.loads(line) for line in QUESTIONS.read_text(encoding="utf-8").splitlines()]
    limit = assistant.sampling.max_new_tokens
    prompts = [prompt_ids(assistant, [], question["question"], limit) for question in questions]
    # Together, as an answer is the same alone and beside others.
    for question, answer in zip(questions, assistant.engine.generate(prompts, assistant.sampling), strict=True):
        question["answer"] = answer.text.strip()
    write_text(PAGE, page(questions, read_grades()))
    print(f"{PAGE}: {len(questions)} answers")


def read_grades() -> dict[tuple[str, str], str]:
    """(question, answer) -> grade."""
    if not GRADES.exists():
        return {}
    lines = map(json.loads, GRADES.read_text(encoding="utf-8").splitlines())
    return {(line["question"], line["answer"]): line["grade"] for line in lines}


def page(questions: list[dict[str, str]], grades: dict[tuple[str, str], str]) -> str:
    """The page in Markdown. questions: kind, question, reference and answer of each."""
    for question in questions:
        question["grade"] = grades.get((question["question"], question["answer"]), "?")
    counts = {kind: Counter(one["grade"] for one in questions if one["kind"] == kind) for kind in KINDS}
    shown = [grade for grade in ORDER if any(counts[kind][grade] for kind in KINDS)]
    lines = [HEAD, "| | " + " | ".join(shown) + " |", "|---" * (len(shown) + 1) + "|"]
    lines += [f"| {KINDS[kind]} | " + " | ".join(str(counts[kind][grade]) for grade in shown) + " |" for kind in KINDS]
    for kind, heading in KINDS.items():
        lines += ["", f"## {heading}"]
        for number, one in enumerate((one for one in questions if one["kind"] == kind), start=1):
            lines += ["", f"{number}. **{one_line(one['question'])}** ({one['grade']})  "]
            lines += [f"   {one_line(one['answer'])}  ", f"   *Reference:* {one_line(one['reference'])}"]
    return "\n".join(lines) + "\n"


def one_line(text: str) -> str:
    """A text on one line, with what Markdown would read as markup escaped."""
    for character in "\\`*_[]<>#|~":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())


if __name__ == "__main__":
    main()
