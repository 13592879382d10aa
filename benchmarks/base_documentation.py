"""What is kept of a paragraph of documentation: the longest run of clean sentences, or nothing.

A good paragraph lost costs less than a signature, a table or half a sentence learned.
"""

import re

from benchmarks.base_prose import FUNCTION_WORDS, MOJIBAKE, WORD, plain_characters, plain_punctuation

LONGEST_PARAGRAPH = 2500  # characters
SHORTEST_PROSE = {"course": 10, "manual": 16}  # words of what is kept of a paragraph
FUNCTION_SHARE = 0.25  # of the words of English prose; lists, headings and other languages have fewer
CODE_SHARE = 0.05  # of the words of a paragraph that may look like code

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
    return kept, "too long" if len(kept) > LONGEST_PARAGRAPH else ""
