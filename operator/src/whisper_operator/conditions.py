"""Conditions of our objects: what is claimed, and since when it holds."""

from __future__ import annotations

from dataclasses import dataclass

from whisper_operator.server import Manifest

Conditions = list[Manifest]


@dataclass(frozen=True, slots=True)
class Claimed:
    """One condition, before it is known whether it is news."""

    type: str
    holds: bool | None
    """None: unknown."""
    reason: str
    message: str


def dated(claimed: list[Claimed], previous: Conditions, generation: int, now: str) -> Conditions:
    """lastTransitionTime is that of the status, not of reason or message."""
    old = {condition["type"]: condition for condition in previous}
    return [
        {
            "type": claim.type,
            "status": (status := "Unknown" if claim.holds is None else str(claim.holds)),
            "reason": claim.reason,
            "message": claim.message,
            "observedGeneration": generation,
            "lastTransitionTime": old[claim.type]["lastTransitionTime"]
            if claim.type in old and old[claim.type]["status"] == status
            else now,
        }
        for claim in claimed
    ]
