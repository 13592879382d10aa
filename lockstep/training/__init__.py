"""The training loop, its step, its checkpoints and its learning curves."""
