"""The formats of what one stage hands to the next: records, the prompt, token rows."""
