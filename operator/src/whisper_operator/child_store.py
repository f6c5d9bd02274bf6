"""The children of every object of one of our kinds, as the informers last saw them."""

from __future__ import annotations

from collections import defaultdict

from whisper_operator.crd.definition import WHISPER_SERVER
from whisper_operator.naming import INSTANCE_LABEL, controller, kind_named
from whisper_operator.observed import ChildKey, Observed, child_key
from whisper_operator.resources import Manifest, ObjectKey


class ChildStore:
    def __init__(self, kind: str = WHISPER_SERVER.kind) -> None:
        """kind: of the owners."""
        self._kind = kind
        self._children: dict[ObjectKey, dict[ChildKey, Manifest]] = defaultdict(dict)
        self._pods: dict[ObjectKey, dict[str, Manifest]] = defaultdict(dict)
        self._owners: dict[tuple[str, ChildKey], ObjectKey] = {}

    def put(self, live: Manifest) -> set[ObjectKey]:
        """The servers that it concerns: more than one where it changed hands."""
        previous = self.remove(live)
        owner = owner_of(live, self._kind)
        if owner is None:
            return previous
        if live["kind"] == "Pod":
            self._pods[owner][live["metadata"]["name"]] = live
        else:
            self._children[owner][child_key(live)] = live
        self._owners[_place(live)] = owner
        return previous | {owner}

    def remove(self, live: Manifest) -> set[ObjectKey]:
        owner = self._owners.pop(_place(live), None)
        if owner is None:
            return set()
        of_kind: dict[ObjectKey, dict[str, Manifest]] | dict[ObjectKey, dict[ChildKey, Manifest]]
        if live["kind"] == "Pod":
            self._pods[owner].pop(live["metadata"]["name"], None)
            of_kind = self._pods
        else:
            self._children[owner].pop(child_key(live), None)
            of_kind = self._children
        if not of_kind[owner]:
            del of_kind[owner]
        return {owner}

    def observed(self, key: ObjectKey, uid: str) -> Observed:
        """Without the children of an earlier server of that name, which the cluster is about to delete."""
        children = [child for child in self._children.get(key, {}).values() if _belongs(child, uid)]
        return Observed.of(children, self._pods.get(key, {}).values())


def owner_of(live: Manifest, kind: str) -> ObjectKey | None:
    """By its owner reference. Labels can be edited; they count for what has none of our objects as controller."""
    metadata = live["metadata"]
    owner = controller(live)
    if owner and owner.get("kind") == kind:
        return metadata["namespace"], owner["name"]
    instance = metadata.get("labels", {}).get(INSTANCE_LABEL)
    if instance is None or (kind_named(live) or WHISPER_SERVER.kind) != kind or (owner and live["kind"] != "Pod"):
        return None
    return metadata["namespace"], instance


def _belongs(live: Manifest, uid: str) -> bool:
    owner = controller(live)
    return owner is None or owner["uid"] == uid


def _place(live: Manifest) -> tuple[str, ChildKey]:
    return live["metadata"]["namespace"], child_key(live)
