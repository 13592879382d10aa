"""Faults injected into a small project, one after the other, and what became of each."""
