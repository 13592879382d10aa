"""Waitress, configured for many long streams: slow or silent clients cost a little memory, never a thread."""

import logging
import threading
import time
from collections.abc import Callable

from flask import Flask
from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer

from lockstep.core.errors import LockstepError
from lockstep.server.security import MAX_BODY_BYTES

MAX_CONNECTIONS = 4000  # open at once; more wait in the system's backlog
MAX_HEADER_BYTES = 16 * 1024
SPARE_FILES = 200  # file descriptors kept for the process itself
MIN_CONNECTIONS = 50  # however few files the process may open
REQUEST_SECONDS = 20  # for a request's header and body to arrive, however steadily they trickle
IDLE_SECONDS = 60  # for a connection that sends nothing, or reads nothing of what it is sent
CHECK_SECONDS = 2  # between two checks of these limits
POLL_SECONDS = 0.02  # between two checks whether all responses are sent


class _Channel(HTTPChannel):
    """A connection that records when its request began to arrive."""

    request_began: float | None = None

    def received(self, data: bytes) -> bool:
        if self.request is None:
            self.request_began = time.time()
        accepted = bool(super().received(data))
        if self.request is None:
            self.request_began = None
        return accepted

    def is_too_slow(self, now: float) -> bool:
        """Whether its request takes too long to arrive."""
        began = self.request_began
        return self.request is not None and began is not None and now - began > REQUEST_SECONDS


class WebServer(TcpWSGIServer):
    """The server of one application on one address; run() returns after stop()."""

    channel_class = _Channel

    def __init__(self, app: Flask, host: str, port: int, threads: int) -> None:
        """threads: requests handled at once. Raises LockstepError when it can't listen on the address."""
        for name, level in (("waitress", logging.WARNING), ("waitress.queue", logging.ERROR)):
            logging.getLogger(name).setLevel(level)
        self._stopped = False
        try:
            super().__init__(
                app,
                host=host,
                port=port,
                threads=threads,
                connection_limit=_max_connections(),
                backlog=1024,
                asyncore_use_poll=True,
                asyncore_loop_timeout=1,
                channel_timeout=IDLE_SECONDS,
                cleanup_interval=CHECK_SECONDS,
                channel_request_lookahead=1,  # keep reading while we answer, to notice a closed connection
                max_request_header_size=MAX_HEADER_BYTES,
                max_request_body_size=MAX_BODY_BYTES + 1,
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
            if channel.is_too_slow(now):
                channel.will_close = True

    def run(self) -> None:
        """Serve until stop() is called."""
        while not self._stopped:
            wasyncore.loop(timeout=1, map=self._map, use_poll=True, count=1)
        self.task_dispatcher.shutdown(timeout=1)
        wasyncore.close_all(self._map)

    def stop_listening(self) -> None:
        """Accept no new connection; open ones go on. May be called from any thread."""
        self.trigger.pull_trigger(self._close_socket)

    def stop(self, seconds: float) -> None:
        """End run() once all responses are sent, or after so many seconds. Not to be called from run()'s own thread."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and any(self._busy(channel) for channel in list(self.active_channels.values())):
            time.sleep(POLL_SECONDS)
        self._stopped = True
        self.pull_trigger()

    @staticmethod
    def _busy(channel: HTTPChannel) -> bool:
        return bool(channel.requests) or channel.total_outbufs_len > 0

    def _close_socket(self) -> None:
        self.accepting = False
        self.socket.close()
        self.del_channel()


def _max_connections() -> int:
    """Connections that this process may have open; raises its limit of open files where that is too low."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return MAX_CONNECTIONS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(min(MAX_CONNECTIONS, soft - SPARE_FILES), MIN_CONNECTIONS)


def serve_until(server: WebServer, stop: threading.Event, drain: Callable[[], None], flush_seconds: float = 5) -> None:
    """Serve until `stop` is set; then accept no new connection, call drain(), send what is left, and return."""

    def end() -> None:
        stop.wait()
        server.stop_listening()
        drain()
        server.stop(flush_seconds)

    ender = threading.Thread(target=end, name="ender", daemon=True)
    ender.start()
    server.run()
    ender.join()
