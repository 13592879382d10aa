"""Prose in plain characters: what is kept of a story, and the words and 8-grams by which any text is judged.

Stories are kept whole but for their front matter; a document that is mostly no story is left out.
"""

import re
import unicodedata
import zlib

GRAM = 8  # words in a row that count as copied
REPEATED_SHARE = 0.5  # of its 8-grams seen before: the paragraph or document is a repeat
STORY_PROSE_SHARE = 0.6  # of a story document's characters that are prose: below, it is a catalogue, a play, notes
SYLLABLE_SHARE = 0.08  # of the words that are hyphenated: above, the book is cut in syl-la-bles
LONGEST_STORY_PARAGRAPH = 20_000  # characters

# --- characters ---

PLAIN = str.maketrans(
    {
        **dict.fromkeys("“”„«»", '"'),
        **dict.fromkeys("‘’‚´`ʼ′", "'"),
        **dict.fromkeys("–‐‑‒−", "-"),
        **dict.fromkeys("—―", "--"),
        **dict.fromkeys("•·", " "),
        **dict.fromkeys("\u00ad\u200b\u200c\u200d\ufeff\ufe0f®™©¶⁂", None),
        **{"…": "...", "×": "x", "œ": "oe", "Œ": "Oe", "æ": "ae", "Æ": "Ae", "ſ": "s", "ß": "ss", "ø": "o", "ł": "l"},
        **{"½": " 1/2", "¼": " 1/4", "¾": " 3/4", "°": " degrees", "ϵ": "epsilon"},
        **{letter: unicodedata.name(letter).split()[-1].lower() for letter in "αβγδεζηθκλμνξπρστφχψωΓΔΘΛΞΠΣΦΨΩ"},
    }
)
MOJIBAKE = re.compile(r"Ã.|â€|\ufffd")


def plain_characters(text: str) -> str:
    """Text in ASCII as far as it can be: straight quotes, plain dashes, no accents, no pictures, single spaces.

    Letters of other scripts and formula signs stay, for the caller to judge.
    """
    if not text.isascii():
        text = re.sub(r"£ ?(\d[\d,.]*\d|\d)", r"\1 pounds", text).translate(PLAIN)
        text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
        text = "".join(c for c in text if c.isascii() or unicodedata.category(c) not in {"So", "Sk", "Cf", "Co", "Cn"})
    return " ".join(text.split())


def plain_punctuation(text: str) -> str:
    """Text without space before punctuation, with ` - ` for every long dash, and with hyphenated words in one."""
    text = re.sub(r"[,;]?\s*-{2,}\s*", " - ", re.sub(r":\s*-{2,}", ": ", text))
    text = re.sub(r"(?<=[a-z]{2})- (?!and\b|or\b|to\b|nor\b)(?=[a-z]{2})", "-", text)
    text = re.sub(r"(?: ?\. ?){3,}", "... ", text)
    text = re.sub(r" +([,.;:!?)])(?=[\s\"')]|$)", r"\1", text)
    return " ".join(re.sub(r" - (?=[\"'](?:\s|$))", " -", text).split())


def joined_lines(paragraph: str) -> str:
    """One line of a paragraph set on several; a word cut at the line's end is made whole."""
    return re.sub(r"(?<=[a-z])-\n\s*(?=[a-z])", "", paragraph).replace("\n", " ")


# --- words ---

WORD = re.compile(r"[A-Za-z]+(?:'[a-z]+)?")
FUNCTION_WORDS = frozenset(
    WORD.findall(
        "a about after all also an and any are as at be because been before being between both but by can could "
        "did do does each for from had has have he her here him his how i if in into is it its itself just like "
        "may me more most much must my no not of on one only or other our out over own same she should since so "
        "some such than that the their them then there these they this those through to under until up us very was "
        "we were what when where which while who whose why will with within without would you your "
    )
)


def gram_codes(text: str) -> list[int]:
    """A checksum of each run of GRAM words, case and punctuation aside; the same on every machine."""
    words = re.findall(r"[a-z0-9]+", text.lower())
    return [zlib.crc32(" ".join(words[i : i + GRAM]).encode()) for i in range(len(words) - GRAM + 1)]


def repeated_share(codes: list[int], seen: set[int]) -> float:
    """The share of the codes that were seen before, 0 to 1; 0 where there are none."""
    return sum(code in seen for code in codes) / len(codes) if codes else 0.0


# --- stories ---

FRONT_MATTER = re.compile(
    r"^[=+]|\b(?:12mo|8vo|16mo|4to|l2mo)\b|\b[Pp]rice,? [\d$]|\bcents\b.*\bcloth\b|\$\d\.\d\d|Copyright|COPYRIGHT"
    r"|Gutenberg|[Tt]ranscrib|FOOTNOTE"
    r"|^Footnote|^(?:Illustration|Frontispiece|Picture|Page|PAGE|Contents|CONTENTS|The End|THE END)\b|^\[S\."
    r"|\bchanged to [\"']"
    r"|^(?:Chapter|CHAPTER|Chap\.|Part|Book|Act|Scene|Canto|Volume|Vol\.|Letter) [IVXLCivxlc\d]+\b"
    r"|^[IVXLCivxlc\d]+\.?$|^Chapter \w+\.?$"
    r"|[Cc]loth,? (?:gilt|extra|bound|\d)|[Ff]ully illustrated|Crown 8|Fcap|^Published|^Illustrated|[Ee]-?text"
    r"|^AUTHOR OF|\bPage \d+$"
)
NOTE = re.compile(
    r" ?\[(?:\.*\d+|[*+A-Za-z]|(?:Illustration|Picture|Footnote|Frontispiece|Sidenote|Note)[^\]]*)\]"
    r"|\{[^}]*\}| ?\(\d+\.?\)|[_=|*]"
)
SLUR = re.compile(
    r"\b(?:nigg(?:er|uh|a)|niggah|darke?y|darkie|pickaninn)", re.IGNORECASE
)  # the period's; not for a model
OPENING_WORDS = FUNCTION_WORDS | {"once", "upon", "little", "many", "long", "never", "now"}


def story_paragraph(text: str) -> tuple[str, str]:
    """A paragraph of a story with its emphasis and notes taken out, and '' or the reason why it is none."""
    text = NOTE.sub("", plain_characters(text)).strip() if text[0] not in "=+" else text
    text = plain_punctuation(text.replace("[", "(").replace("]", ")"))
    words = WORD.findall(text)
    capitals = sum(word[0].isupper() or len(word) < 4 for word in words)
    if FRONT_MATTER.search(text):
        return text, "front matter"
    if not text.isascii() or MOJIBAKE.search(text) or re.search(r"[\\<>^~@#+]", text):
        return text, "characters"
    if not words or not re.search(r"[.!?:;,-][\"')]*$", text) or text.isupper():
        return text, "no sentence"
    if 1 < len(words) < 15 and capitals == len(words) and text[0] not in "\"'(" and text[-1] not in "\"'!?":
        return text, "heading"
    if len(words) > 25 and sum(word.lower() in FUNCTION_WORDS for word in words) < 0.15 * len(words):
        return text, "not English prose"
    return opening_in_lower_case(text), "too long" if len(text) > LONGEST_STORY_PARAGRAPH else ""


def opening_in_lower_case(text: str) -> str:
    """`ONCE upon a time` and `IT WAS late` with their opening words written as the rest is."""
    opening = re.match(r"[A-Z]{2,}(?: [A-Z]+)*(?= [a-z])", text)
    words = opening[0].split() if opening else []
    if not opening or any(word.lower() not in OPENING_WORDS for word in words):
        return text
    rest = [word if word == "I" else word.lower() for word in words[1:]]
    return " ".join([words[0].capitalize(), *rest]) + text[opening.end() :]


def fault_of_story(document: str, kept: list[str], seen: set[int]) -> str:
    """Why a whole story document is left out, or ''."""
    text = " ".join(kept)
    words = WORD.findall(text)
    if len(text) < STORY_PROSE_SHARE * len(document):
        return "document mostly no story"
    if SLUR.search(document):
        return "document with slurs"
    if len(re.findall(r"[A-Za-z]-[a-z]", text)) > SYLLABLE_SHARE * len(words):
        return "document in syllables"
    if sum(word.lower() in FUNCTION_WORDS for word in words) < 0.4 * len(words):
        return "document not plain prose"
    return "document repeats another" if repeated_share(gram_codes(text), seen) > REPEATED_SHARE else ""
