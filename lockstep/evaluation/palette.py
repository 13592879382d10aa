"""Colours of charts and report."""

# In the report these two become the colours of the reader's light or dark theme.
INK, LINE = "#1f2937", "#d8dee9"
COLOURS = {"base": "#8e9bb0", "tuned": "#2f6fed", "retrieval": "#e09f3e", "better": "#2a9d6f", "worse": "#d1495b"}
