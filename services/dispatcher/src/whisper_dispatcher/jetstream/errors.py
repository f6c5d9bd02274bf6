"""What can go wrong with the queue, in our words; nats-py's exceptions stop in this package."""

from __future__ import annotations

WRONG_LAST_SEQUENCE = 10071
STREAM_FULL = 10077
NO_SPACE = 10047
NO_MESSAGE_FOUND = 10037


class QueueUnavailable(Exception):
    """NATS did not answer. The same call may succeed later; publishes may or may not have been stored."""


class QueueFull(Exception):
    """A work stream is at its limit: nothing was accepted, the client should come back later."""


class WrongLastSequence(Exception):
    """Somebody else wrote this subject first; what they wrote counts."""
