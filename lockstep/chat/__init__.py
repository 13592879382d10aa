"""The terminal chat and what it shares with the server: feedback and loading an export."""
