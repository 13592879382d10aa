"""Making a text clean to read, and folding it so that trifles don't tell two texts apart."""

import re
import unicodedata
import warnings
from typing import Any

MISSING = frozenset({"NULL", "#N/A", "<NA>", "\\N", "nan"})  # what databases and pandas write for a missing value

INVISIBLE = re.compile(
    "[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
JOINERS = "\u200c\u200d"  # they mean something inside Persian, Indic and emoji sequences, not beside Latin letters
JOINER_RUN = re.compile(f"[{JOINERS}]+")
BLANKS = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f]")
UNTIDY = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f]|  | \n|\n\n\n")
BLANK_RUN = re.compile(r"(?<=[^ \t\n])(?: [ \t]+|\t[ \t]*)")  # indentation, of code and lists, stays
LINE_TAIL = re.compile(r"(?<![ \t])[ \t]+\n")  # begun at a run's first blank only: else a long run takes for ever
EMPTY_LINES = re.compile(r"\n{3,}")

INSIDE = r"(?:\s[^<>=]*=[^<>]*|\s*/?)>"  # attributes have values, so that `a<b and c>d` holds no tag
TAG = re.compile(rf"</?(?:p|br|div|span|a|b|i|ul|ol|li|strong|em|h[1-6]|table|tr|td){INSIDE}", re.IGNORECASE)
MARKUP = re.compile(rf"</?[a-zA-Z][\w-]*{INSIDE}|<!--|&#?\w{{2,8}};")
UNSEEN = {"script", "style", "head", "template"}
BLOCKS = {"br", "p", "div", "li", "ul", "ol", "tr", "table", "blockquote", "pre", "h1", "h2", "h3", "h4", "h5", "h6"}


def clean_text(text: str, html: bool = False) -> str:
    """The text in Unicode NFC, without control and invisible characters, with tidy white space.

    Line breaks become \\n and stay, at most one empty line in a row; runs of blanks become one, except at the
    beginning of a line. html: take tags out and resolve entities first.
    """
    if html and MARKUP.search(text):
        text = html_to_text(text)
    if not text.isascii():
        text = CONTROLS.sub("", LINE_ENDS.sub("\n", INVISIBLE.sub("", BLANKS.sub(" ", text))))
        if any(joiner in text for joiner in JOINERS):
            text = JOINER_RUN.sub(_kept_joiners, text)
        text = unicodedata.normalize("NFC", text)  # last: what was removed may have kept a letter from its accent
    if UNTIDY.search(text):
        text = CONTROLS.sub("", LINE_ENDS.sub("\n", text))
        text = EMPTY_LINES.sub("\n\n", LINE_TAIL.sub("\n", BLANK_RUN.sub(" ", text)))
    return text.strip()


def _kept_joiners(run: re.Match[str]) -> str:
    """Joiners, where both the letter before and the letter after them may be joined."""
    beside = run.string[max(0, run.start() - 1) : run.start()], run.string[run.end() : run.end() + 1]
    return run.group() if all(letter and not letter.isascii() for letter in beside) else ""


def html_to_text(text: str) -> str:
    """What a browser would show: no tags, scripts or styles, entities resolved, a line for each block."""
    from bs4 import BeautifulSoup, CData, MarkupResemblesLocatorWarning, NavigableString, ParserRejectedMarkup, Tag

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MarkupResemblesLocatorWarning)
        try:
            soup = BeautifulSoup(text.encode("utf-8", "ignore").decode(), "html.parser")  # it takes no lone surrogates
        except ParserRejectedMarkup:  # '<![' and the like: it was no HTML
            return text
    shown: list[str] = []
    waiting: list[Any] = [soup]
    while waiting:  # no recursion: tags may be nested deeper than Python's stack
        part = waiting.pop()
        if not isinstance(part, Tag):
            shown += [part] if type(part) in (str, NavigableString, CData) else []
        elif part.name not in UNSEEN:
            waiting += ["\n"] if part.name in BLOCKS else []
            waiting += reversed(part.contents)
    return "".join(shown)


def holds_html(text: str) -> bool:
    """Whether there are tags in the text."""
    return "<" in text and TAG.search(text) is not None


# --- folding -------------------------------------------------------------------------------------------------------

APOSTROPHES = "'`\u2018\u2019\u02bc"
# Marks of sentences. What changes the meaning (+ - # % < > = * / & $ @) stays: C++ is not C#, and -3 is not 3.
SENTENCE_MARKS = '.,;:!?"()[]{}'
OTHER_MARKS = "".join(
    chr(code)
    for first, last in ((0xA1, 0x2070), (0x2E00, 0x2E80), (0x3000, 0x3040), (0xFE10, 0xFE70), (0xFF00, 0xFF66))
    for code in range(first, last)
    if unicodedata.category(chr(code))[0] == "P"
)
ASCII_FOLD = str.maketrans(SENTENCE_MARKS, " " * len(SENTENCE_MARKS), "'`")
FOLD = re.compile(f"[{re.escape(SENTENCE_MARKS + OTHER_MARKS)}]")  # faster than a table where there is more than ASCII
FOLD_AWAY = re.compile(f"[{APOSTROPHES}]")
HYPHEN = re.compile(r"(?<=[^\W\d])-(?=[^\W\d])")  # p-value is p value


def fold(text: str) -> str:
    """The text without case, punctuation and white space that don't change what it says.

    Two texts that fold to the same are exact duplicates. A text of punctuation alone stays as it is.
    """
    folded = text.casefold()
    if folded.isascii():
        folded = folded.translate(ASCII_FOLD)
    else:
        folded = FOLD.sub(" ", FOLD_AWAY.sub("", unicodedata.normalize("NFKC", folded)))
    if "-" in folded:
        folded = HYPHEN.sub(" ", folded)
    return " ".join(folded.split()) or text.strip()
