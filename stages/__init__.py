"""The pipeline: prepare, tokenize, train, evaluate, export; and the ways to talk to its result: chat, serve."""
