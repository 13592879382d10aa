"""What one stage hands to the next: records, the prompt, token rows, and how they lie on disk."""
