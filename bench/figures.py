"""What a figure is, and whether its goal is met."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


class NotRun(Exception):
    """The figure could not be measured here. The sentence says what is missing and how to get it."""


@dataclass(frozen=True, slots=True)
class Goal:
    name: str
    limit: float | None
    """None: the figure is reported, and nobody has promised it."""
    better: Literal["lower", "higher"]

    def is_met(self, value: float) -> bool | None:
        if self.limit is None:
            return None
        return value <= self.limit if self.better == "lower" else value >= self.limit

    def __str__(self) -> str:
        return "" if self.limit is None else f"{'≤' if self.better == 'lower' else '≥'} {self.limit:g}"


@dataclass(frozen=True, slots=True)
class Measured:
    values: Mapping[str, float]
    """By the name of the figure."""
    details: Mapping[str, Any]
    """How it was measured and what the values were made from."""


def at_most(name: str, limit: float) -> Goal:
    return Goal(name, limit, "lower")


def at_least(name: str, limit: float) -> Goal:
    return Goal(name, limit, "higher")


def reported(name: str) -> Goal:
    return Goal(name, None, "lower")


def percentile(samples: list[float], share: float) -> float:
    """Nearest rank. share: 0.99 for the 99th percentile."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
