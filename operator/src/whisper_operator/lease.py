"""Who of several operators writes: the holder of a Lease. No I/O: what was seen comes in, a decision or a Lease goes out.

Clocks of machines differ, so nobody reads the times in a Lease. Each counts on its own clock: the holder from before it
asked for its last renewal, the others from when they first saw the Lease as it is. What the holder counts is the longer.
"""

from __future__ import annotations

from dataclasses import dataclass

from whisper_operator.resources import LEASES, Manifest


@dataclass(frozen=True, slots=True)
class Timing:
    expires_s: int = 12
    """A holder that has not renewed for so long may be replaced."""
    stops_s: float = 8.0
    """One that could not renew for so long has stopped by itself. The rest is for what was on its way."""
    renew_s: float = 2.0
    look_s: float = 1.0
    """How often those who follow look, and how soon a failed renewal is tried again."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A Lease (None: there is none), and since when it has been as it is."""

    lease: Manifest | None
    since_s: float


def sighted(before: Sighting | None, lease: Manifest | None, now_s: float) -> Sighting:
    if before and _version(before.lease) == _version(lease):
        return before
    return Sighting(lease, now_s)


def holder(lease: Manifest | None) -> str | None:
    return (((lease or {}).get("spec")) or {}).get("holderIdentity") or None


def may_take(sighting: Sighting, me: str, now_s: float, timing: Timing) -> bool:
    """A holder of my name was an earlier run of this pod, and is over."""
    if holder(sighting.lease) in (None, me):
        return True
    assert sighting.lease
    # As long as the holder said: it may be of another version.
    promised_s = sighting.lease["spec"].get("leaseDurationSeconds") or timing.expires_s
    return now_s - sighting.since_s >= float(promised_s)


def taken(lease: Manifest | None, place: tuple[str, str], me: str, timing: Timing, at: str) -> Manifest:
    """Or renewed. place: namespace and name. at: RFC 3339, for people."""
    before = (lease or {}).get("spec") or {}
    is_new = holder(lease) != me
    return {
        "apiVersion": LEASES.api_version,
        "kind": LEASES.kind,
        "metadata": lease["metadata"] if lease else {"namespace": place[0], "name": place[1]},
        "spec": {
            "holderIdentity": me,
            "leaseDurationSeconds": timing.expires_s,
            "acquireTime": at if is_new else before.get("acquireTime", at),
            "renewTime": at,
            "leaseTransitions": before.get("leaseTransitions", 0) + is_new,
        },
    }


def released(lease: Manifest, at: str) -> Manifest:
    spec = {name: value for name, value in lease["spec"].items() if name != "holderIdentity"}
    return lease | {"spec": spec | {"renewTime": at}}


def _version(lease: Manifest | None) -> tuple[str, str] | None:
    return (lease["metadata"]["uid"], lease["metadata"]["resourceVersion"]) if lease else None
