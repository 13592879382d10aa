"""The pipeline: five stages (prepare, tokenize, train, evaluate, export) and two ways to talk to the result (chat, serve)."""
