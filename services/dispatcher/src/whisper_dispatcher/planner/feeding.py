"""Which windows of a job are queued next. Pure."""

from __future__ import annotations

from collections.abc import Set

from whisper_contracts.messages import TranscribeOptions, WindowResult

PROMPT_CHARACTERS = 400
"""Whisper reads at most 224 tokens of prompt and keeps their end."""


def next_windows(total: int, done: Set[int], published: Set[int], options: TranscribeOptions, ahead: int) -> list[int]:
    """The windows to publish now, in order.

    Sequential mode queues one after another. So does a job whose language is to be detected, until its first
    window is back; from then on the language found is pinned and up to `ahead` windows are queued at a time.
    """
    if options.mode == "sequential" or (options.language is None and 0 not in done):
        ahead = 1
    in_flight = len(published - done)
    waiting = (index for index in range(total) if index not in done and index not in published)
    return [index for index, _ in zip(waiting, range(ahead - in_flight), strict=False)]


def tail_of(result: WindowResult | None, prompt: str) -> str:
    """The prompt of a window in sequential mode: the user's own, then the end of what was said before."""
    said = "".join(segment.text for segment in result.segments) if result else ""
    return f"{prompt} {said[-PROMPT_CHARACTERS:]}".strip()
