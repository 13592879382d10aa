"""Hypothesis strategies for texts and cells, with characters that readers and tokenizers trip over."""

from hypothesis import strategies as st

END = "<|endoftext|>"
TRAPS = [
    "",
    " ",
    '"',
    '""',
    ",",
    ";\t|",
    "\n",
    "\r\n",
    "a\n\nb",
    "\\",
    "'",
    "=1+1",
    "NULL",
    "nan",
    "{}",
    "[1]",
    END,
    "\u2028",
    "\x85",
]
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff"), max_size=25)
CELLS = (
    st.sampled_from(TRAPS)
    | TEXTS
    | st.lists(st.sampled_from([*TRAPS, "word", "\u00e9", "漢"]), max_size=5).map("".join)
)
