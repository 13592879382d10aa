"""Rows and texts of any size for measuring: the same bytes each time, and as uneven as what people bring.

Sentences come from a chain of word pairs of the texts in data/raw, with invented names among them, so that words are as
frequent, and split into as many tokens, as in real English. A share of the rows repeats an earlier one, or asks the
same in other words.
"""

import csv
import random
from collections import deque
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

REPEATED = 0.01  # share of the rows that are an earlier row once more
REPHRASED = 0.1  # share that ask an earlier question in other words
REMEMBERED = 5000  # earlier rows that may be repeated or rephrased
SENTENCES = 30_000  # different sentences, from which answers and documents are put together
LONGEST_SENTENCE = 24  # words
DOCUMENT_SENTENCES = 400  # in a document, up to twice as many
OPENINGS = ("What is meant by", "How does one tell", "Why do people say", "When is it right that", "Explain")
OTHER_OPENINGS = ("Can you tell me about", "Please explain", "I want to know about", "Could you describe")
SYLLABLES = ("ba", "ce", "di", "fo", "gu", "la", "me", "ni", "po", "ru", "sa", "te", "vi", "zo", "ka", "le", "mi", "ra")


class Writer:
    """Sentences and questions, drawn from a generator of their own. texts: folder whose .txt files lend the words."""

    def __init__(self, texts: Path, seed: int = 0, sentences: int = SENTENCES) -> None:
        self.random = random.Random(seed)
        words = [word for path in sorted(texts.glob("*.txt")) for word in path.read_text(encoding="utf-8").split()]
        self.words = [word.strip('.,;:()"').lower() for word in words if word[0].isalpha()]
        self.next: dict[str, list[str]] = {}
        for word, after in pairwise(words):
            self.next.setdefault(word, []).append(after)
        self.starts = [word for word in words if word[0].isupper() and word in self.next]
        self.sentences = [self.sentence() for _ in range(sentences)]

    def sentence(self) -> str:
        """A walk along the pairs, to a full stop or the longest sentence."""
        words = [self.random.choice(self.starts)]
        while len(words) < LONGEST_SENTENCE and words[-1][-1] not in ".?!" and words[-1] in self.next:
            words.append(self.random.choice(self.next[words[-1]]))
        return " ".join(words).rstrip(".,;:") + "."

    def name(self) -> str:
        """An invented name, such as Bacedifo."""
        return "".join(self.random.choices(SYLLABLES, k=self.random.choice((3, 4)))).capitalize()

    def topic(self) -> str:
        """What a question is about: words and a name."""
        words = self.random.choices(self.words, k=self.random.choice((2, 3, 3, 4, 5, 8)))
        return " ".join([*words[1:], self.name(), words[0]])

    def answer(self) -> str:
        """One to eight sentences."""
        count = self.random.choice((1, 2, 3, 3, 3, 4, 4, 5, 6, 8))
        return " ".join([*self.random.choices(self.sentences, k=count), f"See {self.name()}."])

    def document(self) -> str:
        """Paragraphs of sentences."""
        count = self.random.randint(1, 2 * DOCUMENT_SENTENCES)
        sentences = self.random.choices(self.sentences, k=count)
        return "\n\n".join(" ".join(sentences[start : start + 6]) for start in range(0, count, 6))


def question_rows(writer: Writer, count: int) -> Iterator[tuple[str, str]]:
    """`count` questions with their answers."""
    draw = writer.random
    earlier: deque[tuple[str, str]] = deque(maxlen=REMEMBERED)  # topics and answers
    for _ in range(count):
        chance = draw.random()
        if earlier and chance < REPEATED:
            topic, answer = draw.choice(earlier)
            yield f"{OPENINGS[len(topic) % len(OPENINGS)]} {topic}?", answer
        elif earlier and chance < REPEATED + REPHRASED:
            topic, answer = draw.choice(earlier)
            yield f"{draw.choice(OTHER_OPENINGS)} {topic}?", draw.choice((answer, writer.answer()))
        else:
            earlier.append((writer.topic(), writer.answer()))
            topic, answer = earlier[-1]
            yield f"{OPENINGS[len(topic) % len(OPENINGS)]} {topic}?", answer


def write_questions(path: Path, writer: Writer, count: int) -> None:
    """A CSV file of questions and answers."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["question", "answer"])
        rows.writerows(question_rows(writer, count))


def write_texts(folder: Path, writer: Writer, size: int, files: int = 20) -> None:
    """Text files of `size` bytes together."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        with (folder / f"{number:03}.txt").open("w", encoding="utf-8", newline="\n") as file:
            while file.tell() < size / files:
                file.write(writer.document() + "\n\n")
