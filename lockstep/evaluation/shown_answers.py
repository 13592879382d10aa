"""Answers as people read them: an endless repetition is cut. What is stored and measured stays whole."""

import re
from collections.abc import Iterator

GOES_ON = " … (goes on repeating)"
MIN_SENTENCE_WORDS = 3  # of a sentence that counts as repeated
STALE_WORDS = 20  # words at the end of a text, none of them new, that are repetition though no sentence comes again
MIN_RUN = 6  # words of a phrase with its rounds: "a very, very, very large set" is none
LOOSE_END = 3  # words of a third round, cut off by the length limit, that show it to be one
SENTENCE_END = re.compile(r"(?<=[.!?。！？])\s+|\n+")
WORD = re.compile(r"\w+")


def cut_repetition(text: str) -> str:
    """The text up to the second occurrence of a sentence or a phrase that then comes again, with GOES_ON after it.

    A phrase counts when it is said three times in a row, a sentence of MIN_SENTENCE_WORDS or more words wherever it
    stands. Where there is neither, variations of what was said count, from the third sentence on and STALE_WORDS long.
    The text is cut only where the rest brings no new word, the last one aside, which the length limit may have cut off:
    an answer that finds its way again stays whole.
    """
    sentences = [match.start() for match in SENTENCE_END.finditer(text)]
    for ends, least in (([*_phrase_ends(text), *_sentence_ends(text)], 0), (sentences[1:], STALE_WORDS)):
        for end in sorted(ends):
            said, rest = (WORD.findall(part.lower()) for part in (text[:end], text[end:]))
            if set(rest[:-1]) <= set(said) and len(rest) >= least:
                return text[:end].rstrip() + GOES_ON
    return text


def _phrase_ends(text: str) -> Iterator[int]:
    """Where the second occurrence of each phrase ends that is said three times in a row. The last may be cut off."""
    found = [(match.group().lower(), match.end()) for match in re.finditer(r"\S+", text)]
    words = [word for word, _ in found]
    for period in range(1, len(words) // 2 + 1):
        start = 0  # of the run in which each word is the one `period` words before it
        for place in range(period, len(words) + 1):
            if place < len(words) and words[place] == words[place - period]:
                continue
            repeated = place - period - start  # words of the run after its first round
            is_cut_off = place == len(words) and repeated >= period + LOOSE_END
            if (repeated >= 2 * period or is_cut_off) and period + repeated >= MIN_RUN:
                yield found[start + 2 * period - 1][1]
            start = place - period + 1


def _sentence_ends(text: str) -> Iterator[int]:
    """Where the text before the third occurrence of each sentence ends that occurs so often."""
    times: dict[str, int] = {}
    begin = 0
    for part in [*SENTENCE_END.finditer(text), None]:
        sentence = " ".join(text[begin : part.start() if part else len(text)].lower().split())
        times[sentence] = times.get(sentence, 0) + 1
        if times[sentence] == 3 and len(sentence.split()) >= MIN_SENTENCE_WORDS:
            yield begin
        begin = part.end() if part else begin
