"""What can go wrong with Telegram, in our words; aiogram's exceptions stop in telegram.py."""

from __future__ import annotations

from dataclasses import dataclass


class ChatGone(Exception):
    """Blocked, kicked, deleted: nothing can be written there any more."""


class MessageGone(Exception):
    """The message that was to be edited is not there any more, or has become another kind."""


@dataclass
class ChatMoved(Exception):
    """The group has become a supergroup with another id."""

    chat: int


class OutcomeUnknown(Exception):
    """A new message may be in the chat or not."""


class FileTooBig(Exception):
    """Larger than this Bot API server hands out."""


class FileUnavailable(Exception):
    """Telegram does not hand it out, for good."""


class Refused(Exception):
    """Telegram will never take this call; its words are the message."""


class AnotherPoller(Exception):
    """Somebody else polls with the same token, or a webhook is set."""


class TelegramAway(Exception):
    """No answer, or an error of Telegram's own. Later it may work."""


class TokenRefused(TelegramAway):
    """Wrong or revoked."""
