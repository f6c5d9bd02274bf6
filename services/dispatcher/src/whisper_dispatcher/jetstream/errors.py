"""What can go wrong with the queue, in our words; nats-py's exceptions stop in this package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WRONG_LAST_SEQUENCE = 10071
STREAM_FULL = 10077
NO_SPACE = 10047
NO_MESSAGE_FOUND = 10037
NO_STREAM = 10059


class QueueUnavailable(Exception):
    """NATS did not answer. The same call may succeed later; publishes may or may not have been stored."""


class QueueRefused(Exception):
    """NATS answered and said no to what was to be made."""

    def __init__(self, what: str, error: Mapping[str, Any]) -> None:
        """error: of NATS' answer."""
        said = str(error.get("description"))
        # A cluster words it as a matter of placement, under another code.
        advice = "Give NATS more storage, or take less of it with --store-gib (nats.fileStore in the chart)."
        super().__init__(f"NATS refused {what}: {said}." + (f" {advice}" if "storage" in said else ""))


class QueueFull(Exception):
    """A work stream is at its limit: nothing was accepted, the client should come back later."""


class WrongLastSequence(Exception):
    """Somebody else wrote this subject first; what they wrote counts."""
