"""The commands of `python -m lockstep`, one a file."""
