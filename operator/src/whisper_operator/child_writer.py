"""Writes the children of an owner where they differ from what is wanted, and never to no effect."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from whisper_operator.changes import Apply, Change, Delete, changes, waves
from whisper_operator.child_store import ChildStore
from whisper_operator.cluster import ApiError, Cluster
from whisper_operator.differs import first_difference
from whisper_operator.naming import HASH_ANNOTATION, controller
from whisper_operator.observed import Observed, child_key
from whisper_operator.owner import Owner
from whisper_operator.problems import Problem, sentence
from whisper_operator.resources import BY_KIND, REMADE, SECRETS, Manifest

log = structlog.get_logger()

TERMINATING = "being terminated"

LastingDifference = tuple[str, str, str]
"""Hash of what was wanted, version of what came of it, and the difference that stayed."""


class ChildWriter:
    def __init__(self, cluster: Cluster, take: Callable[[Manifest], None]) -> None:
        """take: gets every child that a write has answered."""
        self._cluster = cluster
        self._take = take
        self._lasting: dict[str, LastingDifference] = {}
        self._as_wanted: dict[str, tuple[str, str]] = {}
        """By the UID of a child: hash and version that were the same, so that they need no second comparison."""

    async def make_so(
        self, owner: Owner, wanted: list[Manifest], store: ChildStore
    ) -> tuple[Observed, tuple[Problem, ...]]:
        """Writes what differs. Returns what there is then, and what was refused."""
        key = (owner.namespace, owner.name)
        observed = store.observed(key, owner.uid)
        planned = changes(owner, wanted, observed, self._difference)
        answers: list[Problem | None] = []
        for wave in waves(planned):
            answers += await asyncio.gather(*(self._make(change, owner) for change in wave))
        refused = tuple(answer for answer in answers if answer)
        return store.observed(key, owner.uid) if planned else observed, refused

    async def _make(self, change: Change, owner: Owner) -> Problem | None:
        try:
            match change:
                case Apply():
                    await self._apply(change, owner)
                case Delete():
                    await self.delete(change.live, change.why)
        except ApiError as error:
            return _problem(change, owner, error)
        return None

    async def _apply(self, change: Apply, owner: Owner) -> None:
        manifest = change.manifest
        kind, name = child_key(manifest)
        namespace = manifest["metadata"]["namespace"]
        log.info("applying", kind=kind, namespace=namespace, name=name, why=change.why)
        if kind == SECRETS.kind and not change.live:
            await self._refuse_foreign(owner, kind, name)
        try:
            answer = await self._cluster.apply(BY_KIND[kind], manifest, force=change.force)
        except ApiError as error:
            if error.status == 422 and change.live and kind in REMADE:
                await self.delete(change.live, f"it cannot be changed: {error.message}")
                return
            if error.status != 409 or change.force or not await self._is_of(owner, kind, name):
                raise
            answer = await self._cluster.apply(BY_KIND[kind], manifest, force=True)
        self._take(answer)
        self._remember_difference(manifest, answer)

    async def _refuse_foreign(self, owner: Owner, kind: str, name: str) -> None:
        """Somebody's Secret has no field in common with ours: the API server would let us make it ours, and it would
        go with the owner. Raises ApiError."""
        live = await self._cluster.get(BY_KIND[kind], owner.namespace, name)
        if live and not _is_controlled(live, owner):
            raise ApiError(409, "Conflict", "it has no owner, or another one")

    async def _is_of(self, owner: Owner, kind: str, name: str) -> bool:
        """Ours all the same: somebody took the label by which the informers know it."""
        live = await self._cluster.get(BY_KIND[kind], owner.namespace, name)
        return live is not None and _is_controlled(live, owner)

    async def delete(self, live: Manifest, why: str) -> None:
        kind, name = child_key(live)
        log.info("deleting", kind=kind, namespace=live["metadata"]["namespace"], name=name, why=why)
        await self._cluster.delete(BY_KIND[kind], live)

    def _remember_difference(self, manifest: Manifest, answer: Manifest) -> None:
        uid = answer["metadata"]["uid"]
        difference = first_difference(manifest, answer)
        if difference is None:
            self._lasting.pop(uid, None)
        else:
            self._lasting[uid] = (_hash(manifest), _content_version(answer), difference)

    def forget(self, uid: str) -> None:
        self._lasting.pop(uid, None)
        self._as_wanted.pop(uid, None)

    def _difference(self, manifest: Manifest, live: Manifest) -> str | None:
        """Unless the API server wrote that value its own way when we last applied it."""
        uid, compared = live["metadata"]["uid"], (_hash(manifest), live["metadata"]["resourceVersion"])
        if self._as_wanted.get(uid) == compared:
            return None
        difference = first_difference(manifest, live)
        if difference and self._lasting.get(uid) != (_hash(manifest), _content_version(live), difference):
            return difference
        self._as_wanted[uid] = compared
        return None


def _problem(change: Change, owner: Owner, error: ApiError) -> Problem | None:
    kind, name = child_key(change.manifest if isinstance(change, Apply) else change.live)
    if error.status == 403 and TERMINATING in error.message:
        return None  # the namespace goes, and the server with it
    if error.status == 409 and isinstance(change, Apply) and not change.force:
        return Problem(
            "NameTaken",
            f"There is a {kind} {name} in {owner.namespace} already that is not ours ({error.message}). "
            f"Rename it, or the {owner.kind}.",
        )
    if error.status == 403:
        return Problem(
            "Forbidden",
            f"The {kind} {name} in {owner.namespace} may not be written: {sentence(error.message)} "
            f"Check quotas and the operator's role.",
        )
    return Problem(
        "ChildRefused",
        f"The {kind} {name} in {owner.namespace} was refused: {sentence(error.message)} "
        f"Correct the field of the spec that it names; it is tried again.",
    )


def _is_controlled(live: Manifest, owner: Owner) -> bool:
    held_by = controller(live)
    return held_by is not None and held_by["uid"] == owner.uid


def _hash(manifest: Manifest) -> str:
    return str(manifest["metadata"]["annotations"][HASH_ANNOTATION])


def _content_version(live: Manifest) -> str:
    """A new status is not a new generation; kinds without one have only their resource version."""
    metadata = live["metadata"]
    return str(metadata.get("generation") or metadata["resourceVersion"])
