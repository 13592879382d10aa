"""serve: a web page to talk to the exported model, and an API that OpenAI's clients understand.

Open http://127.0.0.1:5000 in a browser, or give http://127.0.0.1:5000/v1 to a client. Only this machine can connect,
unless --host says otherwise; then a key is needed: see docs/serving.md.
"""

if not __package__:
    import run_by_path  # noqa: F401  (it ends the program)

import argparse
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from lockstep.core.entry_point import command_parser
from lockstep.core.errors import run_command
from lockstep.core.paths import EXPORT

LIMITS = (  # flag, least, greatest, default, meaning
    ("--max-batch-size", 1, 64, 64, "answers generated at the same time, at most"),
    ("--queue", 0, 1000, 64, "questions that may wait"),
    ("--seconds", 1, 86400, 120, "seconds for one answer, waiting included"),
    ("--grace", 0, 86400, 10, "seconds answers have to end at a stop"),
    ("--threads", 1, 1024, None, "CPU threads of the model"),
)
SPARE_THREADS = 16  # of the web server, beside one for each answer and each waiting question
CHATTY_LOGGERS = ("httpx", "httpx2", "huggingface_hub", "flask_cors")


def main() -> None:
    """Run the command. Raises LockstepError for what the user can put right."""
    arguments = argument_parser().parse_args()
    from lockstep.server.access import KEY_VARIABLE, check_access

    access = check_access(arguments.host, os.environ.get(KEY_VARIABLE), arguments.origin)
    configure_logging()
    set_model_threads(arguments.threads)
    from lockstep.chat.load_export import load_exported
    from lockstep.pretrained.base import resolve_model
    from lockstep.server.app import create_app
    from lockstep.server.capacity import batch_size_in_memory
    from lockstep.server.card_markdown import read_card
    from lockstep.server.scheduler import Scheduler
    from lockstep.server.service import Service
    from lockstep.server.waitress_server import WebServer, serve_until

    assistant = load_exported(arguments.model, arguments.revision)
    card = read_card(resolve_model(arguments.model, arguments.revision))
    max_batch_size = min(arguments.max_batch_size, batch_size_in_memory(assistant))
    scheduler = Scheduler(assistant.engine, max_batch_size, arguments.queue)
    service = Service(assistant, scheduler, arguments.seconds, int(time.time()))
    app = create_app(service, access, card, arguments.log_prompts)
    threads = max_batch_size + arguments.queue + SPARE_THREADS
    server = WebServer(app, arguments.host, arguments.port, threads)
    stop = stop_at_signal()
    host = f"[{arguments.host}]" if ":" in arguments.host else arguments.host
    print(f"serve     http://{host}:{server.effective_port} (stop with Ctrl-C)", flush=True)
    serve_until(server, stop, lambda: scheduler.stop(arguments.grace))
    print("serve     stopped", flush=True)


def argument_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = command_parser("stages.serve", __doc__)
    model_help = f"a folder or a Hub id (default: {EXPORT})"
    parser.add_argument("--model", default=str(EXPORT), metavar="MODEL", help=model_help)
    parser.add_argument("--revision", metavar="COMMIT", help="which commit of a Hub id")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=_number(0, 65535), default=5000, help="(default: 5000; 0 takes a free one)")
    origin_help = "a site whose pages may use the API; may be repeated"
    parser.add_argument("--origin", action="append", default=[], metavar="URL", help=origin_help)
    parser.add_argument("--log-prompts", action="store_true", help="write to the log what people ask")
    group = parser.add_argument_group("limits")
    for flag, low, high, default, meaning in LIMITS:
        text = f"{meaning} (default: {default or 'all cores but one, for the network'})"
        group.add_argument(flag, type=_number(low, high), default=default, metavar="N", help=text)
    group.add_argument("--places", nargs="?", action=_Renamed, const="--max-batch-size", help=argparse.SUPPRESS)
    return parser


def configure_logging() -> None:
    """Log to standard error with the time of day."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    for name in CHATTY_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)


def set_model_threads(threads: int | None) -> None:
    """Load torch with so many CPU threads; None: as many as capacity.model_threads says."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads between two products must not eat the other cores
    import torch

    from lockstep.server.capacity import model_threads

    torch.set_num_threads(threads or model_threads())


def stop_at_signal() -> threading.Event:
    """An event that SIGTERM and Ctrl-C set."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


class _Renamed(argparse.Action):
    """A flag that has another name now, its `const`: using it is an error that says so."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option: str | None = None) -> None:
        parser.error(f"{option} is now {self.const}")


def _number(low: int, high: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{value} is not from {low} to {high}")
        return value

    return number


if __name__ == "__main__":
    run_command(main)
