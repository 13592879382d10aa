"""The chat in a terminal or a pipe, and what it shares with the server: feedback and loading an export."""
