"""Kubernetes Events: what happened to an object and what to do, for `kubectl describe`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from whisper_operator.cluster import ApiError, Cluster, Unreachable
from whisper_operator.naming import FIELD_MANAGER
from whisper_operator.resources import EVENTS, Manifest

log = structlog.get_logger()

MAX_MESSAGE_LENGTH = 1024
TOLD_AGAIN_AFTER_S = 600.0
"""A pod that crashes again and again is news once."""
ROLLED_BACK = "RolledBack"
_FAULTS = {"Degraded": "True", "Accelerated": "False", "Progressing": "False"}
_INTENDED = frozenset({"Suspended", "ScaledToZero"})


@dataclass(frozen=True, slots=True)
class Happening:
    reason: str
    message: str
    is_warning: bool = False


def happenings(previous: Sequence[Manifest], conditions: Sequence[Manifest]) -> list[Happening]:
    """What is told of a change from the previous conditions; nothing where only messages differ."""
    before, after = _by_type(previous), _by_type(conditions)
    news = {type_: condition for type_, condition in after.items() if _is_news(type_, before, after)}
    found: list[Happening] = []
    cached, ready = news.get("ModelCached") or news.get("Cached"), news.get("Ready")
    if cached and cached["status"] == "True":
        found.append(Happening("ModelCached", cached["message"]))
    if ready:
        bad = _is_bad(before.get("Ready"), ready, after.get("Degraded"))
        found.append(Happening(ready["reason"], ready["message"], bad))
    for fault in filter(_is_fault, (news[type_] for type_ in _FAULTS if type_ in news)):
        if fault["reason"] not in {each.reason for each in found}:
            found.append(Happening(fault["reason"], fault["message"], is_warning=True))
    return found


def _is_fault(condition: Manifest) -> bool:
    if condition["type"] == "Progressing":
        return bool(condition["reason"] == ROLLED_BACK)
    return bool(condition["status"] == _FAULTS[condition["type"]])


def _is_bad(before: Manifest | None, ready: Manifest, degraded: Manifest | None) -> bool:
    if ready["status"] == "True" or ready["reason"] in _INTENDED:
        return False
    was_ready = before is not None and before["status"] == "True"
    # A kind without the condition Degraded is told of nothing but faults by its Ready.
    return was_ready or degraded is None or degraded["status"] == "True"


def _is_news(type_: str, before: dict[str, Manifest], after: dict[str, Manifest]) -> bool:
    old, new = before.get(type_), after[type_]
    return old is None or (old["status"], old["reason"]) != (new["status"], new["reason"])


def _by_type(conditions: Sequence[Manifest]) -> dict[str, Manifest]:
    return {condition["type"]: condition for condition in conditions}


class Recorder:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._told_s: dict[tuple[str, Happening], float] = {}

    async def tell(self, body: Manifest, happened: Happening) -> None:
        """Events are for people: one that cannot be written is left out."""
        now_s = time.monotonic()
        self._told_s = {each: at_s for each, at_s in self._told_s.items() if now_s - at_s < TOLD_AGAIN_AFTER_S}
        told = (body["metadata"]["uid"], happened)
        if told in self._told_s:
            return
        self._told_s[told] = now_s
        try:
            await self._cluster.create(EVENTS, event(body, happened, datetime.now(UTC)))
        except (ApiError, Unreachable) as error:
            log.warning("event not written", reason=happened.reason, error=str(error))


def event(body: Manifest, happened: Happening, at: datetime) -> Manifest:
    metadata = body["metadata"]
    when = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{metadata['name']}.", "namespace": metadata["namespace"]},
        "involvedObject": {
            "apiVersion": body["apiVersion"],
            "kind": body["kind"],
            **{name: metadata[name] for name in ("name", "namespace", "uid", "resourceVersion")},
        },
        "type": "Warning" if happened.is_warning else "Normal",
        "reason": happened.reason,
        "message": happened.message[:MAX_MESSAGE_LENGTH],
        "count": 1,
        "firstTimestamp": when,
        "lastTimestamp": when,
        "source": {"component": FIELD_MANAGER},
        "reportingComponent": FIELD_MANAGER,
    }
