"""The web page and the OpenAI-compatible API."""
