"""What can be missing on a machine that runs the pipeline locally."""

from __future__ import annotations


class ToolMissing(Exception):
    """A program that the pipeline needs cannot be had; the sentence says what to do about it."""
