"""serve: a web page to talk to the exported model, and an API that OpenAI's clients understand.

Open http://127.0.0.1:5000 in a browser, or give http://127.0.0.1:5000/v1 to a client. Only this machine can connect,
unless --host says otherwise; then a key is needed: see docs/serving.md.
"""

if not __package__:
    import run_by_path  # noqa: F401  (it ends the program)

import argparse
import os
from typing import TYPE_CHECKING

from lockstep.core.entry_point import command_parser
from lockstep.core.errors import LockstepError, run_command
from lockstep.core.paths import EXPORT

if TYPE_CHECKING:
    from collections.abc import Callable

    from lockstep.generation.conversation import Assistant

LIMITS = (
    ("--places", 1, 64, 64, "answers in the making at most"),
    ("--queue", 0, 1000, 64, "questions that may wait"),
    ("--seconds", 1, 86400, 120, "seconds for one answer, waiting included"),
    ("--grace", 0, 86400, 10, "seconds answers have to end at a stop"),
    ("--threads", 1, 1024, None, "CPU threads of the model"),
)


def main() -> None:
    """Run the command. Raises LockstepError for what the user can put right."""
    arguments = parser().parse_args()
    import logging
    import signal
    import sys
    import threading
    import time

    from lockstep.server.access import KEY_VARIABLE, check_access

    access = check_access(arguments.host, os.environ.get(KEY_VARIABLE), arguments.origin)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    for noisy in ("httpx", "httpx2", "huggingface_hub", "flask_cors"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads between two products must not eat the other cores
    import torch

    torch.set_num_threads(arguments.threads or model_threads())
    from lockstep.chat.load_export import load_exported
    from lockstep.pretrained.base import resolve_base
    from lockstep.server.app import create_app
    from lockstep.server.card_markdown import read_card
    from lockstep.server.scheduler import Scheduler
    from lockstep.server.service import Service
    from lockstep.server.waitress_server import WebServer, serve_until

    assistant = load_exported(arguments.model, arguments.revision)
    folder = resolve_base(arguments.model, arguments.revision)
    places = min(arguments.places, places_in_memory(assistant))
    scheduler = Scheduler(assistant.engine, places, arguments.queue)
    service = Service(assistant, scheduler, arguments.seconds, int(time.time()))
    app = create_app(service, access, read_card(folder), arguments.log_prompts)
    server = WebServer(app, arguments.host, arguments.port, threads=places + arguments.queue + 16)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    name = f"[{arguments.host}]" if ":" in arguments.host else arguments.host
    print(f"serve     http://{name}:{server.effective_port} (stop with Ctrl-C)", flush=True)
    serve_until(server, stop, lambda: scheduler.stop(arguments.grace))
    print("serve     stopped", flush=True)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = command_parser("stages.serve", __doc__)
    made.add_argument("--model", default=str(EXPORT), metavar="MODEL", help=f"a folder or a Hub id (default: {EXPORT})")
    made.add_argument("--revision", metavar="COMMIT", help="which commit of a Hub id")
    made.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    made.add_argument("--port", type=_number(0, 65535), default=5000, help="(default: 5000; 0 takes a free one)")
    origin = "a site whose pages may use the API; may be repeated"
    made.add_argument("--origin", action="append", default=[], metavar="URL", help=origin)
    made.add_argument("--log-prompts", action="store_true", help="write to the log what people ask")
    group = made.add_argument_group("limits")
    for name, low, high, default, meaning in LIMITS:
        text = f"{meaning} (default: {default or 'all cores but one, for the network'})"
        group.add_argument(name, type=_number(low, high), default=default, metavar="N", help=text)
    return made


def _number(low: int, high: int) -> "Callable[[str], int]":
    def number(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{value} is not from {low} to {high}")
        return value

    return number


def model_threads() -> int:
    """All cores but one, which the network's threads need for themselves."""
    from lockstep.core.parallel import available_cores

    return max(1, available_cores() - 1)


def places_in_memory(assistant: "Assistant") -> int:
    """Answers whose keys and values fit into a quarter of the machine's memory, if all were as long as the context.

    Raises LockstepError when not even one does.
    """
    from lockstep.generation.kv_cache import bytes_per_position

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 8 << 30
    each = bytes_per_position(assistant.engine.model) * assistant.engine.context
    places = min(memory // 4 // each, 64)
    if places < 1:
        raise LockstepError("This machine has too little memory for even one answer of this model.")
    return int(places)


if __name__ == "__main__":
    run_command(main)
