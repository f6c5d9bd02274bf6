"""Ports of this machine's own servers."""

from __future__ import annotations

import random
import socket

HOST = "127.0.0.1"
_BELOW_OUTGOING = range(20_000, 32_000)
"""Where no system takes the near ends of outgoing connections from. One of those could hold a server's port while it is
restarted: its own client's even, which then is connected to itself."""


def free_port() -> int:
    candidates = random.sample(_BELOW_OUTGOING, 100)
    return next(port for port in candidates if is_free(port))


def is_free(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError:
            return False
        return True
