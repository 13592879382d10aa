"""The engine that generates tokens, and conversations with it."""
