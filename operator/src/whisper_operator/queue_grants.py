"""Which namespaces may serve which queues. Whoever serves a queue hears what is sent to it, so it is given, not taken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from whisper_operator.children.worker_pod import queue_name
from whisper_operator.server import Server

Grants = Mapping[str, Sequence[str]]
"""Patterns of queues by patterns of namespaces."""

ALL = "*"


def denial(grants: Grants, server: Server) -> str | None:
    """Why its namespace may not serve what it asks for.

    An alias counts as a queue: what is sent to that name would come here. What is sent to no name comes to the default.
    """
    given = list(_given(grants, server.namespace))
    asked = (queue_name(server), *server.spec.queue.aliases)
    denied = [name for name in asked if not any(fnmatchcase(name, pattern) for pattern in given)]
    if denied:
        return (
            f"Namespace {server.namespace} may not serve {_listed(denied)}: who serves a queue hears what is sent to "
            f"it. Ask whoever installed Whisperfleet for it (operator.queues), or name a queue that was given to you."
        )
    if server.spec.queue.default and ALL not in given:
        return (
            f"Namespace {server.namespace} may not serve the default model: it hears what names no model. Leave "
            f"spec.queue.default out, or ask whoever installed Whisperfleet for all queues (operator.queues)."
        )
    return None


def _given(grants: Grants, namespace: str) -> Iterator[str]:
    for pattern, queues in grants.items():
        if fnmatchcase(namespace, pattern):
            yield from queues


def _listed(queues: Sequence[str]) -> str:
    return ("the queue " if len(queues) == 1 else "the queues ") + ", ".join(queues)
