"""Cleaning of texts, and folding, which removes the differences that don't change what a text says."""

import re
import unicodedata
import warnings
from typing import Any

MISSING_VALUES = frozenset({"NULL", "#N/A", "<NA>", "\\N", "nan"})  # as databases and pandas write them

INVISIBLE = re.compile(
    "[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
JOINERS = "\u200c\u200d"  # meaningful inside Persian, Indic and emoji sequences, but not beside Latin letters
JOINER_RUN = re.compile(f"[{JOINERS}]+")
BLANKS = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f]")
UNTIDY = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f]|  | \n|\n\n\n")
BLANK_RUN = re.compile(r"(?<=[^ \t\n])(?: [ \t]+|\t[ \t]*)")  # keeps the indentation of code and lists
LINE_TAIL = re.compile(r"(?<![ \t])[ \t]+\n")  # starts at a run's first space: else it takes quadratic time
EMPTY_LINES = re.compile(r"\n{3,}")

TAG_END = r"(?:\s[^<>=]*=[^<>]*|\s*/?)>"  # attributes need values, so that `a<b and c>d` is no tag
TAG = re.compile(rf"</?(?:p|br|div|span|a|b|i|ul|ol|li|strong|em|h[1-6]|table|tr|td){TAG_END}", re.IGNORECASE)
MARKUP = re.compile(rf"</?[a-zA-Z][\w-]*{TAG_END}|<!--|&#?\w{{2,8}};")
HIDDEN_TAGS = {"script", "style", "head", "template"}
HEADING_TAGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
BLOCK_TAGS = {"br", "p", "div", "li", "ul", "ol", "tr", "table", "blockquote", "pre"} | HEADING_TAGS


def clean_text(text: str, html: bool = False) -> str:
    """The text in Unicode NFC, without control and invisible characters, with tidy white space.

    Line breaks become \\n, with at most one empty line in a row. Runs of spaces become one space, except at the
    beginning of a line. html: take tags out and resolve entities first.
    """
    if html and MARKUP.search(text):
        text = html_to_text(text)
    if not text.isascii():
        text = CONTROLS.sub("", LINE_ENDS.sub("\n", INVISIBLE.sub("", BLANKS.sub(" ", text))))
        if any(joiner in text for joiner in JOINERS):
            text = JOINER_RUN.sub(_kept_joiners, text)
        text = unicodedata.normalize("NFC", text)  # last: a letter and its accent may now be neighbours
    if UNTIDY.search(text):
        text = CONTROLS.sub("", LINE_ENDS.sub("\n", text))
        text = EMPTY_LINES.sub("\n\n", LINE_TAIL.sub("\n", BLANK_RUN.sub(" ", text)))
    return text.strip()


def _kept_joiners(run: re.Match[str]) -> str:
    """The joiners, if the letters before and after them can be joined, else an empty text."""
    beside = run.string[max(0, run.start() - 1) : run.start()], run.string[run.end() : run.end() + 1]
    return run.group() if all(letter and not letter.isascii() for letter in beside) else ""


def html_to_text(text: str) -> str:
    """The text that a browser would show: no tags, scripts and styles, entities resolved, a line per block."""
    from bs4 import BeautifulSoup, CData, MarkupResemblesLocatorWarning, NavigableString, ParserRejectedMarkup, Tag

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MarkupResemblesLocatorWarning)
        try:
            readable = text.encode("utf-8", "ignore").decode()  # without lone surrogates
            soup = BeautifulSoup(readable, "html.parser")
        except ParserRejectedMarkup:  # '<![' and the like: the text is no HTML
            return text
    shown: list[str] = []
    waiting: list[Any] = [soup]
    while waiting:  # without recursion: tags may be nested deeper than Python's stack
        part = waiting.pop()
        if not isinstance(part, Tag):
            shown += [part] if type(part) in (str, NavigableString, CData) else []
        elif part.name not in HIDDEN_TAGS:
            waiting += ["\n"] if part.name in BLOCK_TAGS else []
            waiting += reversed(part.contents)
    return "".join(shown)


def holds_html(text: str) -> bool:
    """Whether the text contains HTML tags."""
    return "<" in text and TAG.search(text) is not None


# --- folding -------------------------------------------------------------------------------------------------------

APOSTROPHES = "'`\u2018\u2019\u02bc"
# Characters that change the meaning (+ - # % < > = * / & $ @) are not among them: C++ is not C#, and -3 is not 3.
PUNCTUATION = '.,;:!?"()[]{}'
NON_ASCII_PUNCTUATION = "".join(
    chr(code)
    for first, last in ((0xA1, 0x2070), (0x2E00, 0x2E80), (0x3000, 0x3040), (0xFE10, 0xFE70), (0xFF00, 0xFF66))
    for code in range(first, last)
    if unicodedata.category(chr(code))[0] == "P"
)
ASCII_FOLD = str.maketrans(PUNCTUATION, " " * len(PUNCTUATION), "'`")
FOLD = re.compile(f"[{re.escape(PUNCTUATION + NON_ASCII_PUNCTUATION)}]")  # str.translate is slower for non-ASCII
FOLD_AWAY = re.compile(f"[{APOSTROPHES}]")
HYPHEN = re.compile(r"(?<=[^\W\d])-(?=[^\W\d])")  # p-value is p value


def fold(text: str) -> str:
    """The text without case, punctuation and extra white space.

    Texts that become equal are exact duplicates. A text of nothing but punctuation stays as it is.
    """
    folded = text.casefold()
    if folded.isascii():
        folded = folded.translate(ASCII_FOLD)
    else:
        folded = FOLD.sub(" ", FOLD_AWAY.sub("", unicodedata.normalize("NFKC", folded)))
    if "-" in folded:
        folded = HYPHEN.sub(" ", folded)
    return " ".join(folded.split()) or text.strip()
