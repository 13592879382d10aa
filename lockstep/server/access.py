"""Who may use the server: from which machines, with which key, from the pages of which other sites."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from lockstep.core.errors import LockstepError

KEY_VARIABLE = "LOCKSTEP_API_KEY"  # of the environment: other users of the machine can read command lines
MIN_KEY_CHARACTERS = 16


@dataclass(frozen=True, slots=True)
class Access:
    """Access to the server.

    host: the address listened on. key: what each request must show, or None. origins: other sites whose pages may use
    the API from a browser.
    """

    host: str
    key: str | None = None
    origins: tuple[str, ...] = ()

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether an address or name is this machine's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_access(host: str, key: str | None, origins: Sequence[str]) -> Access:
    """The access that a person wants. Raises LockstepError for a poor key, an inexact origin, or other machines let in
    without a key."""
    key = key or None
    if key is not None and (len(key) < MIN_KEY_CHARACTERS or not key.isascii() or not key.isprintable() or " " in key):
        raise LockstepError(
            f"{KEY_VARIABLE} is no good key: it takes {MIN_KEY_CHARACTERS} or more letters, digits and signs.",
            'Make one with `python -c "import secrets; print(secrets.token_urlsafe())"`.',
        )
    if not is_loopback(host) and key is None:
        raise LockstepError(
            f"--host {host} lets other machines in, but {KEY_VARIABLE} is not set.",
            'Set it, for example to what `python -c "import secrets; print(secrets.token_urlsafe())"` prints.',
        )
    for origin in origins:
        parts = urlsplit(origin)
        if parts.scheme not in ("http", "https") or not parts.netloc or origin != f"{parts.scheme}://{parts.netloc}":
            remedy = "Write it as https://example.org, with the port if any."
            raise LockstepError(f"--origin {origin} is no origin.", remedy)
    return Access(host, key, tuple(origins))
