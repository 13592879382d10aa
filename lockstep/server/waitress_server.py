"""Waitress, set up for many long streams: slow or silent clients cost a little memory, never a thread or the loop."""

import logging
import threading
import time
from typing import Any

from flask import Flask
from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer

from lockstep.core.errors import LockstepError
from lockstep.server.security import BODY_BYTES

CONNECTIONS = 4000  # open at once; past this, new ones wait at the door
HEADER_BYTES = 16 * 1024
REQUEST_SECONDS = 20  # for a request's header and body to arrive, however busily they trickle
IDLE_SECONDS = 60  # for a connection that asks nothing, or reads nothing of what it is sent
CHECK_SECONDS = 2  # between two looks at these limits


class _Channel(HTTPChannel):
    """A connection that knows since when it has been sending its request."""

    request_began: float | None = None

    def received(self, data: bytes) -> bool:
        if self.request is None:
            self.request_began = time.time()
        taken = bool(super().received(data))
        if self.request is None:
            self.request_began = None
        return taken

    def too_slow(self, now: float) -> bool:
        """Whether its request takes too long to arrive."""
        began = self.request_began
        return self.request is not None and began is not None and now - began > REQUEST_SECONDS


class WebServer(TcpWSGIServer):
    """The server of one application on one address; run() returns after stop()."""

    channel_class = _Channel

    def __init__(self, app: Flask, host: str, port: int, threads: int) -> None:
        """threads: requests that are worked on at once. Raises LockstepError when the address can't be had."""
        for name, level in (("waitress", logging.WARNING), ("waitress.queue", logging.ERROR)):
            logging.getLogger(name).setLevel(level)
        self._stopped = False
        try:
            super().__init__(
                app,
                host=host,
                port=port,
                threads=threads,
                connection_limit=_connections(),
                backlog=1024,
                asyncore_use_poll=True,
                asyncore_loop_timeout=1,
                channel_timeout=IDLE_SECONDS,
                cleanup_interval=CHECK_SECONDS,
                channel_request_lookahead=1,  # reading goes on while we answer: so a closed connection is noticed
                max_request_header_size=HEADER_BYTES,
                max_request_body_size=BODY_BYTES + 1,
                ident=None,
                log_socket_errors=False,
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            message = f"Cannot listen on {host} port {port}: {reason}."
            raise LockstepError(message, "Choose another with --port.") from None

    def maintenance(self, now: float) -> None:
        """Close connections that are idle or whose request comes too slowly."""
        super().maintenance(now)
        for channel in self.active_channels.values():
            if channel.too_slow(now):
                channel.will_close = True

    def run(self) -> None:
        """Serve until stop() is called."""
        while not self._stopped:
            wasyncore.loop(timeout=1, map=self._map, use_poll=True, count=1)
        self.task_dispatcher.shutdown(timeout=1)
        wasyncore.close_all(self._map)

    def stop_listening(self) -> None:
        """Let nobody new in; open connections go on. From any thread."""
        self.trigger.pull_trigger(self._refuse)

    def stop(self, seconds: float) -> None:
        """End run() once all that was written is sent, or after so many seconds. From any thread but run's."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and any(self._busy(channel) for channel in list(self.active_channels.values())):
            time.sleep(0.02)
        self._stopped = True
        self.pull_trigger()

    @staticmethod
    def _busy(channel: HTTPChannel) -> bool:
        return bool(channel.requests) or channel.total_outbufs_len > 0

    def _refuse(self) -> None:
        self.accepting = False
        self.socket.close()
        self.del_channel()


def _connections() -> int:
    """Connections that this process may have open, a few files kept back for itself."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return CONNECTIONS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + 200
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return CONNECTIONS if soft == resource.RLIM_INFINITY else max(min(CONNECTIONS, soft - 200), 50)


def serve_until(server: WebServer, stop: threading.Event, drain: Any, flush_seconds: float = 5) -> None:
    """Serve until `stop` is set; then let nobody new in, call drain(), send what is left, and return."""

    def end() -> None:
        stop.wait()
        server.stop_listening()
        drain()
        server.stop(flush_seconds)

    ender = threading.Thread(target=end, name="ender", daemon=True)
    ender.start()
    server.run()
    ender.join()
