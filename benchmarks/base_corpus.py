"""Turn a folder of source texts into the cleaned corpus on which the embedded base model is pretrained.

    python -m benchmarks.base_corpus SOURCES OUT [--against QUESTIONS.csv]

A source is one file `NAME.txt`: documents separated by a form feed, paragraphs by an empty line. Only the sources
listed in SOURCES are read, whatever else the folder holds. Stories are kept whole but for their front matter. Of a
paragraph of documentation the longest run of clean sentences is kept, or nothing: a good paragraph lost costs less
than a signature, a table or half a sentence learned.
"""

import argparse
import csv
import hashlib
import io
import re
import unicodedata
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from stages.core.errors import LockstepError, run_command
from stages.core.files import write_json, write_text

MB = 1_000_000
GRAM = 8  # words in a row that count as copied
REPEATED_SHARE = 0.5  # of its 8-grams seen before: the paragraph or document is a repeat
STORY_PROSE_SHARE = 0.6  # of a story document's characters that are prose: below, it is a catalogue, a play, notes
SYLLABLE_SHARE = 0.08  # of the words that are hyphenated: above, the book is cut in syl-la-bles
SHORTEST_DOCUMENT = 200  # characters
LONGEST_PARAGRAPH = {"story": 20_000, "course": 2500, "manual": 2500}  # characters
SHORTEST_PROSE = {"course": 10, "manual": 16}  # words of what is kept of a paragraph
FUNCTION_SHARE = 0.25  # of the words of English prose; lists, headings and other languages have fewer
CODE_SHARE = 0.05  # of the words of a paragraph that may look like code


class Source(NamedTuple):
    """name: file stem; kind: 'story', 'course' or 'manual'; cap: most megabytes to keep, None for all."""

    name: str
    licence: str
    kind: str
    cap: float | None = None


def sources(kind: str, licence: str, names: str) -> tuple[Source, ...]:
    """Sources of one kind under one licence; names: separated by spaces."""
    return tuple(Source(name, licence, kind) for name in names.split())


# Left out on purpose: python-peps, rust-rfcs and aesop_fables, whose licence is unclear or whose text does not fit.
# Courses come before manuals, so that of two like paragraphs the course's is kept.
SOURCES = (
    Source("fairytaleqa_stories", "Apache-2.0; the stories are in the public domain", "story"),
    Source("gutenberg_children", "public domain in the USA (Project Gutenberg)", "story", 24.0),
    Source("gutenberg_classics", "public domain in the USA (Project Gutenberg)", "story", 6.0),
    *sources("course", "MIT", "bayesian-hackers cs228 cs231n ml-glossary pml-book-faq ds-for-beginners made-with-ml"),
    *sources("course", "MIT", "pytorch-deep-learning prompt-guide"),
    *sources("course", "CC BY 4.0", "tuning_playbook ml-novice-sklearn dc-ecology swc-python"),
    *sources("course", "CC0-1.0", "whirlwind-python"),
    *sources("course", "Apache-2.0", "llms-from-scratch hf-course hf-cookbook hf-deep-rl what-if-tool"),
    *sources("course", "MIT or Apache-2.0", "rust-book"),
    *sources("manual", "Apache-2.0 / CC BY 4.0", "tensorflow-docs"),
    *sources("manual", "BSD-3-Clause", "scikit-learn scikit-learn-2024-docstrings statsmodels pandas numpy scipy"),
    *sources("manual", "BSD-3-Clause", "seaborn networkx scikit-image feature-engine torchtune"),
    *sources("manual", "BSD-3-Clause / CC BY 4.0", "mlxtend"),
    *sources("manual", "MIT", "imbalanced-learn fairlearn interpret lightgbm optuna spacy lm-eval-harness"),
    *sources("manual", "Apache-2.0", "yellowbrick dvc.org xgboost pytorch-lightning ludwig litgpt llama-factory"),
    *sources("manual", "Apache-2.0", "open-instruct hf-datasets hf-diffusers hf-peft hf-trl"),
)

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


# --- documentation ---

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
CODE_WORD = re.compile(
    r"\w_|_\w|\w\.[A-Za-z]|[a-z][A-Z]|\w\(|\[\w*\]|^\W?-{1,2}\w|=|\w/\w.*/|^\W?[./]\w|\w:\w|^\W?(?:True|False|None"
    r"|NaN)\b"
)
KNOWN_NAME = re.compile(
    r"NumPy|SciPy|PyTorch|TensorFlow|GitHub|MLflow|JavaScript|YouTube|AdaBoost|CatBoost|LightGBM|ImageNet|OpenAI|ReLU"
    r"|DataFrames?|LaTeX|AutoML|ChatGPT|DeepMind|PyMC|MapReduce|IPython|XGBoost|word2vec|MovieLens|(?<=[A-Z])s\b"
)
LIST_MARK = re.compile(
    r"^(?:[-*+] |\(?\d{1,2}[.)] |\(?[a-z]\) |Step \d+ ?[:.-] |(?:Note|Tip|Warning|Important|Hint|Caution|Remark|Q"
    r"|A)[:.] )+"
)
CITATION = re.compile(
    r" ?\[\d+(?:, ?\d+)*\]_?| ?\((?:see )?(?:Fig|Eq|Sec|Tab|Section|Figure|Table|Chapter)\.? ?[\d.]*\)| \(see\)"
)
HEADING_TWICE = re.compile(r"^((?:\w+ ){1,4})(?=\1)", re.IGNORECASE)  # run into the sentence that begins with it
NOTE_THAT = re.compile(r"(?:^|(?<=[.!?] ))(?:(?:Please|Also|But)? ?[Nn]ote(?:,? (?:also|however))?,? that,? )(\w)")
IN_ENGLISH = (
    (re.compile(r"\be\.g\.,?"), "for example,"),
    (re.compile(r"\bi\.e\.,?"), "that is,"),
    (re.compile(r"\bw\.r\.t\.?"), "with respect to"),
)
# A parameter and its meaning, or the one line that says what a function does.
SIGNATURE = re.compile(
    r"^(?:[a-z*][\w.*]*(?:, [\w.*]+){0,4}|\w{1,3}|\W*\w+ ?\([^)]*\)|Title|Abstract|Paper|Homepage|Authors?|Prompt"
    r"|Output"
    r"|Input|Question|Answer) ?: |^(?:Returns?|Gets?|Sets?|Computes?|Calculates?|Checks?|Whether|If (?:True|False"
    r"|None)"
    r"|Default|Optional|Number of|Lists? of|Dict\w* |Arrays? |Must be|Only used|Names? of|Ignored|Base class|Helper"
    r"|Wrapper"
    r"|Construct\w*|Parameters?|Raises?|Yields?|Subclass\w*|Private|Internal|Convert\w*|Deletes?|Given)\b"
    r"|^If \w+ is (?:not )?(?:an?|None|True|False|\W\w+\W)[ ,]|\(default|\b[Dd]efaults? (?:is|to|value)|\bdefault:"
)
REFERENCE = re.compile(
    r"\bpp?\. ?\d|\b[Vv]ol(?:\.|ume) ?\d|\b(?:doi|DOI|ISBN|arXiv|Preprint|eprint|Press|Journal|Proceedings)\b"
    r"|\b[A-Z]\. ?[A-Z][a-z]+, |\b[A-Z][a-z]+, [A-Z]\.|\[[A-Z]\w*\d+\]|\bEds?\."
)
MARKUP = re.compile(
    r"[{}<>\\|~^`$@#*]|::|//|\]\(|^\W*:\w+:|__|\b(?:www|http)|\.(?:com|org|io)\b|[\[\]]|[^\x00-\x7f]|\bet al\b"
    r"|\b[a-z]{3,}\d{4}[a-z]{3,}\b"
    r"|\b(?:19|20)\d\d[a-z]?\)"
)
# Sentences that point at what a reader of plain text can't see, or at the course itself.
POINTER = re.compile(
    r"\b(?:[Cc]heck out|[Ll]et us know|stay tuned|[Ll]earn more|We'd like|[Rr]efer to the|screenshot|[Ee]xercises?"
    r"|quiz|[Pp]lease|URLs?"
    r"|gallery|[Cc]olab"
    r"|documentation|README|[Ll]et's|[Ww]e'll|[Ww]e're going|I'll|I'm|I've|hyperlink|as follows|repositor(?:y|ies)"
    r"|repo)\b"
    r"|\b(?:[Ss]ee|[Cc]lick|[Rr]ead) (?:\w+ ){0,3}?(?:here|page|below|above|following|link|section)\b|\b(?:here"
    r"|below|above|earlier|later)\W*$"
    r"|^\W?(?:See|Click|Read|Refer|Visit|Below|Above|Here|Next|Now)\b|\b(?:this|these|the|previous) (?:links?"
    r"|pages?|PR)\b"
    r"|\b(?:see|click) (?:also|the|on|here|section|chapter|fig|appendix)"
    r"|\bfor (?:more|further|additional) (?:details?|information|examples?)|\b(?:the|as) (?:following|above)\b"
    r"|\bfollowing (?:\w+ )?(?:code|example|way|command|figure|table|plot)"
    r"|\b(?:shown|listed|described|defined|given|outlined|mentioned|discussed|illustrated|summarized|presented"
    r"|example|figure"
    r"|plot|image|table|code|diagram|cell|see|introduced) (?:\w+ )?(?:below|above|earlier|later|here)\b"
    r"|\b[Tt]his (?:cell|sections?|example|figure|notebook|tutorial|chapter|guide|plot|function|class|method|module"
    r"|parameter"
    r"|option|flag|argument|attribute|script|unit|lesson|course|book|article|post|document|page|video|recipe"
    r"|implementation"
    r"|object|field|property|command|package|estimator)\b|\b(?:left|right|top|bottom) (?:panel|image|figure|plot)"
    r"|(?:[Tt]he|in) below|(?:plot|figure|image|graph)s? on the (?:left|right)"
    r"|\bin (?:Chapter|Section|Listing|Unit|Figure|Part) [\dA-Z]|\bListings? \d|\b(?:Left|Right): "
    r"|\b(?:previous|next|last|upcoming|earlier|later|future) (?:section|chapter|example|cell|unit|lesson|listing"
    r"|lecture|guide|post"
    r"|tutorial|article)s?\b|\b(?:[Ff]igure|[Ff]ig\.|[Tt]able|[Ee]quation|Eq\.|Chapter|Section) \(?\d"
)
# Words of people who build, install or call the software rather than explain the subject.
HOUSEKEEPING = re.compile(
    r"\b(?:NEPs?|PEPs?|SPEC|CI|TODO|FIXME|XXX|changelog|pull requests?|PRs|mailing list|backport\w*|milestones?"
    r"|deprecat\w+"
    r"|wheels|contributors?|maintainers?|[Cc]opyright|[Ll]icen[sc]ed?|pip|conda|Cython|[Dd]ocstrings?|Fortran"
    r"|compilers?"
    r"|compile[ds]?|BLAS|LAPACK|Meson|subclass\w*|dtypes?|ufuncs?|[Gg]it[Hh]ub|release notes?|this release"
    r"|[Ss]ponsor\w*|Sphinx"
    r"|valgrind|[Bb]oard members?|[Cc]ontributions to|issue reports?|patch(?:es)?|typos?|forum|office hours"
    r"|governance"
    r"|[Cc]ontribute to (?:the )?(?:project|code|docs)|markup|sudo|Makefile|kwargs?|args|newsletter|Discord|Slack"
    r"|Twitter|LinkedIn|certificat\w+|classmates|deadlines?|final project|copy-?paste"
    r"|API reference"
    r"|backward\w* compat\w+|[Vv]ersions? v?\d[\d.]*|[vV]\d+(?:\.\d+)+|New in|will be removed|LLVM|[Pp]ickl\w+"
    r"|CPython"
    r"|Google Summer|namedtuple|callables?|iterables?|tuples?|ndarrays?|boolean flag|instance of|init|API call"
    r"|constructor"
    r"|Rustaceans?|cargo|crates?|traits?|[Hh]ugging ?[Ff]ace)\b"
)
# What is left of a sentence whose formula, link or inline code was taken out.
GAP = re.compile(
    r"\b(?:where|let|with) (?:is|are|be|denotes)\b|\b(?:the|of|an|by|from|than|whose|every|between|where"
    r"|let) ?[.,;:)!?]"
    r"|^\W*(?:In|To|By|From|At|For|On),|\b(?:as per|for|from|and|or|to|at|with|into|see) ?[.)]|\bin\."
    r"|\ba[.,;)]|\(\s*[,.)]|,\s*[,.;]|\(\s|\s\)|\b(?:the|a|an) (?:of|and|is|are|for|to|in|from|by|with|or|the|a)\b"
    r"|\b(?:of|for|by|than) (?:is|are|and|or|then)\b|\b(?:of|from|by|over|to|with|at) (?:can|will|must|has|have"
    r"|does|in order)\b"
    r"|\b(?:rooted|equal|proportional|respect|conditioned|belong\w*) (?:at|to|on)?[.,]|\"\"|''|[^.]\.\.(?!\.)"
    r"|\s[-=+/]\s*[-=+/]"
    r"|[?!,]{2,}|\.[,;]|,\.|\b(\w+) \1\b(?<!that that)(?<!had had)|\w\(|\)\w|\s[/+=&]\s|^\W*(?:where|and|or)\b"
)
SENTENCE_FAULTS = (("markup", MARKUP), ("pointer", POINTER), ("housekeeping", HOUSEKEEPING), ("gap", GAP))
LEANING = re.compile(
    r"\W?(?:This|That|These|Those|It|Its|They|Their|He|She|However|Therefore|Thus|Hence|So|Also|But|And|Or|Then"
    r"|Instead"
    r"|Otherwise|Similarly|Likewise|Moreover|Furthermore|Additionally|Again|Alternatively|Consequently|Finally"
    r"|Second|Third"
    r"|Secondly|Such|Both|Another|There|Conversely|Nevertheless|In (?:this|that|these|other|addition|contrast"
    r"|particular)"
    r"|For (?:this|that|example|instance)|As (?:a|such|you|we)|On the other|Doing this|Remember)\b"
)
CLAUSE = re.compile(
    r"\b(?:is|are|was|were|can|could|will|would|should|may|might|must|has|have|had|do|does|did|not|be|we|you|it"
    r"|they|\w+n't)\b",
    re.IGNORECASE,
)


def split_sentences(text: str) -> list[str]:
    """The sentences of a paragraph: cut after . ! or ? where a capital follows."""
    return re.split(r"(?<=[.!?]) (?=[\"'(]?[A-Z])|(?<=[.!?][\"')]) (?=[\"'(]?[A-Z])", text)


def code_words(text: str) -> int:
    """How many of a text's words look like code."""
    return sum(bool(CODE_WORD.search(word)) for word in KNOWN_NAME.sub("Name", text).split())


def fault_of_sentence(sentence: str) -> str:
    """Why a sentence of documentation should not be learned, or ''."""
    words = WORD.findall(sentence)
    if len(words) < 3 or not re.match(r"[\"'(]?[A-Z]", sentence) or not re.search(r"[.!?][\"')]*$", sentence):
        return "no sentence"
    for reason, pattern in SENTENCE_FAULTS:
        if pattern.search(sentence):
            return reason
    if code_words(sentence) > 0.08 * len(words):
        return "code"
    if len(re.findall(r"\d[\d.,]*", sentence)) > 0.15 * len(words):
        return "numbers"
    if sum(word[0].isupper() for word in words) > 0.3 * len(words) + 1:
        return "capitals"
    return "unbalanced" if sentence.count("(") != sentence.count(")") or sentence.count('"') % 2 else ""


def clean_run(sentences: list[str]) -> tuple[str, str]:
    """The longest run of clean sentences, in characters, and the first fault met ('' where there is none).

    A run neither begins with a word that leans on the sentence before it nor ends with a question left open.
    """
    best: list[str] = []
    run: list[str] = []
    faults = [fault_of_sentence(sentence) for sentence in sentences]
    for place, (sentence, fault) in enumerate(zip([*sentences, ""], [*faults, "end"], strict=True)):
        if not fault and (run or place == 0 or not LEANING.match(sentence)):
            run.append(sentence)
        elif fault:
            while run and run[-1].endswith("?"):
                run.pop()
            best, run = max(best, run, key=lambda kept: sum(map(len, kept))), []
    return " ".join(best), next(filter(None, faults), "")


def documentation_paragraph(text: str, kind: str) -> tuple[str, str]:
    """What is kept of a paragraph of a 'course' or 'manual', and '' or the reason why it is nothing."""
    text = plain_punctuation(CITATION.sub("", LIST_MARK.sub("", plain_characters(text))))
    for pattern, english in IN_ENGLISH:
        text = pattern.sub(english, text)
    text = HEADING_TWICE.sub("", text)
    text = NOTE_THAT.sub(lambda match: match[1].upper(), text)
    if REFERENCE.search(text) or SIGNATURE.search(text) or MOJIBAKE.search(text):
        return text, "reference" if REFERENCE.search(text) else "signature"
    kept, fault = clean_run(split_sentences(text))
    kept = re.sub(r" - \W*$", "", kept)
    words = WORD.findall(kept)
    alone = len(split_sentences(kept)) == 1
    if len(words) < SHORTEST_PROSE[kind] or (alone and (LEANING.match(kept) or not CLAUSE.search(kept))):
        return kept, fault or "too short"
    if sum(word.lower() in FUNCTION_WORDS for word in words) < FUNCTION_SHARE * len(words):
        return kept, "not English prose"
    if code_words(kept) > CODE_SHARE * len(words):
        return kept, "code"
    return kept, "too long" if len(kept) > LONGEST_PARAGRAPH[kind] else ""


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
    return opening_in_lower_case(text), "too long" if len(text) > LONGEST_PARAGRAPH["story"] else ""


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


# --- repeats ---


def gram_codes(text: str) -> list[int]:
    """A checksum of each run of GRAM words, case and punctuation aside; the same on every machine."""
    words = re.findall(r"[a-z0-9]+", text.lower())
    return [zlib.crc32(" ".join(words[i : i + GRAM]).encode()) for i in range(len(words) - GRAM + 1)]


def repeated_share(codes: list[int], seen: set[int]) -> float:
    """The share of the codes that were seen before, 0 to 1; 0 where there are none."""
    return sum(code in seen for code in codes) / len(codes) if codes else 0.0


def question_codes(path: Path) -> set[int]:
    """The codes of every row of a CSV file, its question and answer read as one text.

    Raises LockstepError where the file can't be read or has no columns Question and Answer.
    """
    try:
        table = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig")))
        rows = [{(key or "").lower(): value for key, value in row.items()} for row in table]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LockstepError(f"Cannot read {path}: {error}.", "Give a UTF-8 CSV file.") from error
    if not rows or not {"question", "answer"} <= rows[0].keys():
        raise LockstepError(f"{path} has no rows with columns Question and Answer.", "Give such a file to --against.")
    return {code for row in rows for code in gram_codes(f"{row['question']} {row['answer']}")}


def fault_of_copy(text: str, kind: str, copied: set[int], seen: set[int]) -> str:
    """Why a paragraph may not stand beside the questions (copied) and what was kept before it (seen), or ''.

    Adds what it accepts to `seen`. Stories may have refrains: only a whole one can be a repeat.
    """
    codes = gram_codes(text)
    if any(code in copied for code in codes):
        return "overlap"
    if kind != "story" and repeated_share(codes, seen) > REPEATED_SHARE:
        return "repeat"
    seen.update(codes)
    return ""


# --- documents ---


@dataclass
class Tally:
    """What became of one source; dropped: paragraphs by reason (documents, for the reason 'document past the cap')."""

    bytes_in: int = 0
    bytes_out: int = 0
    documents_in: int = 0
    documents_out: int = 0
    paragraphs_out: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


def clean_document(text: str, kind: str, copied: set[int], seen: set[int], dropped: Counter[str]) -> str:
    """A document's kept paragraphs, an empty line between them; '' where too little of it is left."""
    kept = []
    for paragraph in filter(str.strip, re.split(r"\n\s*\n", text)):
        line = joined_lines(paragraph.strip())
        plain, reason = story_paragraph(line) if kind == "story" else documentation_paragraph(line, kind)
        if not reason:
            kept.append(plain)
        dropped[reason] += 1
    if kind == "story" and (reason := fault_of_story(text, kept, seen)):
        dropped[reason] += len(kept)
        return ""
    whole = []
    for plain in kept:
        if reason := fault_of_copy(plain, kind, copied, seen):
            dropped[reason] += 1
        else:
            whole.append(plain)
    if len("\n\n".join(whole)) < SHORTEST_DOCUMENT:
        dropped["document too short"] += len(whole)
        return ""
    return "\n\n".join(whole)


def clean_source(text: str, source: Source, copied: set[int], seen: set[int]) -> tuple[list[str], Tally]:
    """The cleaned documents of a source, in their order, and what became of it.

    Where the source has a cap, whole documents are taken in the order of their SHA-256 for as long as they fit.
    """
    documents = [part.strip() for part in text.split("\f") if part.strip()]
    tally = Tally(bytes_in=len(text.encode()), documents_in=len(documents))
    room = source.cap * MB if source.cap else float("inf")
    order = list(range(len(documents)))
    if source.cap:
        order.sort(key=lambda place: hashlib.sha256(documents[place].encode()).digest())
    kept: dict[int, str] = {}
    for place in order:
        if len(documents[place].encode()) > room:
            tally.dropped["document past the cap"] += 1
        elif document := clean_document(documents[place], source.kind, copied, seen, tally.dropped):
            kept[place] = document
            room -= len(document)
    del tally.dropped[""]
    cleaned = [kept[place] for place in sorted(kept)]
    tally.bytes_out = sum(len(document.encode()) for document in cleaned)
    tally.documents_out = len(cleaned)
    tally.paragraphs_out = sum(document.count("\n\n") + 1 for document in cleaned)
    return cleaned, tally


def read_source(folder: Path, name: str) -> str:
    """The text of one source. Raises LockstepError where it is missing or not UTF-8."""
    path = folder / f"{name}.txt"
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise LockstepError(f"{path} is missing.", "Give the folder with every source of SOURCES.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise LockstepError(f"Cannot read {path}: {error}.", "Sources are UTF-8 text.") from error


def report_of(tallies: dict[Source, Tally]) -> dict[str, object]:
    """What went in and came out, in all and for each source, with its licence."""
    dropped: Counter[str] = Counter()
    for tally in tallies.values():
        dropped.update(tally.dropped)
    return {
        "bytes_in": sum(tally.bytes_in for tally in tallies.values()),
        "bytes_out": sum(tally.bytes_out for tally in tallies.values()),
        "overlap_paragraphs_dropped": dropped["overlap"],
        "dropped": dict(sorted(dropped.items())),
        "sources": {
            source.name: {
                "licence": source.licence,
                "kind": source.kind,
                "cap_mb": source.cap,
                **vars(tally),
                "dropped": dict(sorted(tally.dropped.items())),
            }
            for source, tally in tallies.items()
        },
    }


def main() -> None:
    """Clean every source and write OUT/NAME.txt and OUT/report.json."""
    parser = argparse.ArgumentParser(description="Clean the source texts of the embedded base model.")
    parser.add_argument("sources", type=Path, help="folder with one NAME.txt a source")
    parser.add_argument("out", type=Path, help="folder to write the corpus and report.json to")
    parser.add_argument("--against", type=Path, help="CSV of questions and answers that the corpus must not contain")
    options = parser.parse_args()
    copied = question_codes(options.against) if options.against else set()
    seen: set[int] = set()
    tallies = {}
    for source in SOURCES:
        documents, tally = clean_source(read_source(options.sources, source.name), source, copied, seen)
        write_text(options.out / f"{source.name}.txt", "\n\f\n".join(documents) + "\n")
        print(f"{source.name}: {tally.bytes_in / MB:.2f} MB -> {tally.bytes_out / MB:.2f} MB")
        tallies[source] = tally
    report = report_of(tallies)
    write_json(options.out / "report.json", report)
    print(f"in all {report['bytes_out']:,} bytes; {report['overlap_paragraphs_dropped']} paragraphs overlapped")


if __name__ == "__main__":
    run_command(main)
