"""The library behind the stages, the chat, the server and `python -m lockstep`."""
