"""The base model's files: where they come from, whether they are whole, and the tokenizer."""
