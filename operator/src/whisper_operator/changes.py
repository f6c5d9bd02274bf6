"""What has to be written so that an owner's children are what is wanted; nothing where they are already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from whisper_operator.differs import with_hash
from whisper_operator.naming import HASH_ANNOTATION
from whisper_operator.observed import Observed, child_key, is_complete
from whisper_operator.owner import Owner
from whisper_operator.resources import CLAIMS, PRUNED, Manifest


@dataclass(frozen=True, slots=True)
class Apply:
    manifest: Manifest
    why: str
    live: Manifest | None = None

    @property
    def force(self) -> bool:
        """Not for what we have never seen: it may be somebody else's, and then has other values."""
        return self.live is not None


@dataclass(frozen=True, slots=True)
class Delete:
    live: Manifest
    why: str


Change = Apply | Delete
Compare = Callable[[Manifest, Manifest], str | None]
"""Of a wanted and a live object of the same hash: the path of a field that an apply would put right."""


def changes(owner: Owner, wanted: Sequence[Manifest], observed: Observed, compare: Compare) -> list[Change]:
    hashed = [with_hash(manifest) for manifest in wanted]
    names = {child_key(manifest) for manifest in hashed}
    found: list[Change] = [
        Delete(live, "not wanted any more")
        for key, live in observed.children.items()
        if key not in names and live["kind"] in PRUNED and not _is_going(live)
    ]
    for manifest in hashed:
        if change := _change(owner, manifest, observed, compare):
            found.append(change)
    return found


def _change(owner: Owner, manifest: Manifest, observed: Observed, compare: Compare) -> Change | None:
    live = observed.children.get(child_key(manifest))
    if live is None:
        return Apply(manifest, "missing")
    if _is_going(live):
        return None  # its end brings the next look
    if live["kind"] == "Job" and is_complete(live):
        return Delete(live, "its claim is a new one") if observed.job_is_stale(owner, live) else None
    if (live["metadata"].get("annotations") or {}).get(HASH_ANNOTATION) != manifest["metadata"]["annotations"][
        HASH_ANNOTATION
    ]:
        return Apply(manifest, "another one is wanted", live)
    if difference := compare(manifest, live):
        return Apply(manifest, f"{difference} was changed", live)
    return None


def waves(planned: Sequence[Change]) -> list[list[Change]]:
    """What may be written at once. The claim goes first: a download that began before it filled another one."""
    claims = [change for change in planned if _kind(change) == CLAIMS.kind]
    rest = [change for change in planned if _kind(change) != CLAIMS.kind]
    return [wave for wave in (claims, rest) if wave]


def _kind(change: Change) -> str:
    return str((change.manifest if isinstance(change, Apply) else change.live)["kind"])


def _is_going(live: Manifest) -> bool:
    return "deletionTimestamp" in live["metadata"]
