"""Ports of this machine's own servers."""

from __future__ import annotations

import random
import socket
from itertools import cycle, islice

HOST = "127.0.0.1"
_BELOW_OUTGOING = range(20_000, 32_000)
"""Where no system takes the near ends of outgoing connections from. One of those could hold a server's port while it is
restarted: its own client's even, which then is connected to itself."""
_CANDIDATES = cycle(random.sample(_BELOW_OUTGOING, len(_BELOW_OUTGOING)))


def free_port() -> int:
    """Another one at each call: the server that the last was drawn for may not listen on it yet."""
    return next(port for port in islice(_CANDIDATES, len(_BELOW_OUTGOING)) if is_free(port))


def is_free(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError:
            return False
        return True
