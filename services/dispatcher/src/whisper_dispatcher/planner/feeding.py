"""Which windows of a job are queued next. Pure."""

from __future__ import annotations

from collections.abc import Set

from whisper_contracts.messages import TranscribeOptions, WindowResult

PROMPT_CHARACTERS = 400
"""Whisper reads at most 224 tokens of prompt and keeps their end."""


def next_windows(total: int, done: Set[int], published: Set[int], options: TranscribeOptions, ahead: int) -> list[int]:
    """The windows to publish now, in order.

    Sequential mode queues one after another. So does a job whose language is to be detected, until a window with
    words is back; from then on `options` has the language found, and up to `ahead` windows are queued at a time.
    """
    if options.mode == "sequential" or options.language is None:
        ahead = 1
    in_flight = len(published - done)
    waiting = (index for index in range(total) if index not in done and index not in published)
    return [index for index, _ in zip(waiting, range(ahead - in_flight), strict=False)]


def language_of(result: WindowResult | None) -> str | None:
    """None where nobody speaks: what is made out in silence or music says nothing of the rest."""
    if result is None or not any(segment.text.strip() for segment in result.segments):
        return None
    return result.language or None


def tail_of(result: WindowResult | None, prompt: str) -> str:
    """The prompt of a window in sequential mode: the user's own, then the end of what was said before."""
    said = "".join(segment.text for segment in result.segments) if result else ""
    return f"{prompt} {said[-PROMPT_CHARACTERS:]}".strip()
