"""Base and fine-tuned model on the same held-out rows: losses, answers, evidence and verdict."""
