"""Which of two versions of one object counts: answers to own writes and events arrive in any order."""

from __future__ import annotations

from whisper_operator.resources import Manifest


def is_outdated(body: Manifest, known: Manifest | None) -> bool:
    if known is None or known["metadata"]["uid"] != body["metadata"]["uid"]:
        return False
    return _version(known) > _version(body)


def is_answer_about(body: Manifest, known: Manifest | None) -> bool:
    """Whether an answer to a write of ours tells of what there still is: a deletion may have come in meanwhile."""
    return known is not None and known["metadata"]["uid"] == body["metadata"]["uid"]


def _version(body: Manifest) -> int:
    return int(body["metadata"]["resourceVersion"])
