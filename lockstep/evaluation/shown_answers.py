"""Answers as people read them: an endless repetition is cut. What is stored and measured stays whole."""

import re

GOES_ON = " … (goes on repeating)"
MIN_SENTENCE_WORDS = 3  # of a sentence whose third occurrence ends what is shown
MIN_RUN = 6  # words of a phrase with its rounds: "a very, very, very large set" is none
LOOSE_END = 3  # words of a third round, cut off by the length limit, that show it to be one
SENTENCE_END = re.compile(r"(?<=[.!?。！？])\s+|\n+")


def cut_repetition(text: str) -> str:
    """The text up to the second occurrence of a sentence or a phrase that then comes again, with GOES_ON after it.

    A phrase counts when it is said three times in a row, a sentence of MIN_SENTENCE_WORDS or more words wherever it
    stands. The last round may be cut off.
    """
    ends = [end for end in (_phrase_end(text), _sentence_end(text)) if end is not None]
    return text[: min(ends)].rstrip() + GOES_ON if ends else text


def _phrase_end(text: str) -> int | None:
    """Where the second occurrence of the first phrase ends that is said three times in a row; None without one."""
    found = [(match.group().lower(), match.end()) for match in re.finditer(r"\S+", text)]
    words = [word for word, _ in found]
    ends = []
    for period in range(1, len(words) // 2 + 1):
        start = 0  # of the run in which each word is the one `period` words before it
        for place in range(period, len(words) + 1):
            if place < len(words) and words[place] == words[place - period]:
                continue
            repeated = place - period - start  # words of the run after its first round
            loose = place == len(words) and repeated >= period + LOOSE_END
            if (repeated >= 2 * period or loose) and period + repeated >= MIN_RUN:
                ends.append(start + 2 * period)
                break
            start = place - period + 1
    return found[min(ends) - 1][1] if ends else None


def _sentence_end(text: str) -> int | None:
    """Where the text before the third occurrence of a sentence ends; None if no sentence occurs so often."""
    times: dict[str, int] = {}
    begin = 0
    for part in [*SENTENCE_END.finditer(text), None]:
        sentence = " ".join(text[begin : part.start() if part else len(text)].lower().split())
        times[sentence] = times.get(sentence, 0) + 1
        if times[sentence] == 3 and len(sentence.split()) >= MIN_SENTENCE_WORDS:
            return begin
        begin = part.end() if part else begin
    return None
