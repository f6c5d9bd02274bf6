"""Conditions of our objects: what is claimed, and since when it holds."""

from __future__ import annotations

from dataclasses import dataclass

from whisper_operator.problems import Problem
from whisper_operator.resources import Manifest

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


def refused_status(
    generation: int, problem: Problem, previous: Manifest, now: str, *, serves: bool = False
) -> Manifest:
    """For a spec that cannot be carried out. What there is stays, and so does what is said of it.

    serves: what there is does its work all the same, so that Ready stays, too.
    """
    claimed = [Claimed("Degraded", True, problem.reason, problem.message)]
    if not serves:
        claimed.insert(0, Claimed("Ready", False, problem.reason, problem.message))
    old = previous.get("conditions") or []
    said = {claim.type for claim in claimed}
    kept = [condition for condition in old if condition["type"] not in said]
    return previous | {"observedGeneration": generation, "conditions": dated(claimed, old, generation, now) + kept}
