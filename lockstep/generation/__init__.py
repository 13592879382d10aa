"""Text generation: the engine with its batched KV cache and sampling, and conversations on top of it."""
