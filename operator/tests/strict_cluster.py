"""An API server in memory, as strict as the real one in what a reconcile can run into.

Server-side apply with field owners by object, versions and generations that change only with the content, conflicts,
preconditions, immutable Job templates, a status that only its subresource writes. Lists are replaced as a whole.
"""

import asyncio
import copy
import itertools

from whisper_operator.cluster import ApiError, NotLeading, Unreachable
from whisper_operator.patches import merge_patch

CREATED = "2026-01-01T00:00:00Z"


class StrictCluster:
    def __init__(self):
        self.objects = {}
        self.writes = []
        """Method, kind and name of every request that asked for a change."""
        self.refusals = {}
        """By kind, what is answered instead."""
        self.logs = {}
        """By pod."""
        self.cut = asyncio.Event()
        """Set: this client does not reach it."""
        self._applied = {}
        self._numbers = itertools.count(1)
        self._watches = []
        self._may_write = None

    def another_client(self):
        """Of the same API server; its writes are counted apart."""
        client = copy.copy(self)
        client.writes = []
        client.cut = asyncio.Event()
        return client

    def guarded(self, may_write):
        client = copy.copy(self)
        client._may_write = may_write
        return client

    def delete_unseen(self, kind, namespace, name):
        """While every watch is broken, and for longer than the API server remembers versions."""
        del self.objects[kind, namespace, name]
        self._tell("ERROR", None)

    def hold(self, manifest):
        """Made by somebody else."""
        return self._store(manifest, manifest["metadata"].get("uid") or f"uid-{next(self._numbers)}")

    async def apply(self, resource, manifest, *, force):
        key = _key(manifest)
        self._requested("apply", resource, manifest)
        assert not manifest["metadata"].keys() & {"uid", "resourceVersion", "managedFields"}
        live = self.objects.get(key)
        if live is None:
            self._applied[key] = copy.deepcopy(manifest)
            return self._store(manifest, f"uid-{next(self._numbers)}")
        before = self._applied.get(key) or {}
        if not force and _conflicts(manifest, live, before):
            raise ApiError(409, "Conflict", 'Apply failed with 1 conflict: conflict with "kubectl"')
        wanted = _merged(_without(live, before, manifest), manifest)
        if live["kind"] == "Job" and wanted["spec"]["template"] != live["spec"]["template"]:
            raise ApiError(422, "Invalid", "spec.template: field is immutable")
        self._applied[key] = copy.deepcopy(manifest)
        return self._store(wanted, live["metadata"]["uid"])

    async def delete(self, resource, live):
        self._requested("delete", resource, live)
        found = self.objects.get(_key(live))
        if found and found["metadata"]["uid"] == live["metadata"]["uid"]:
            del self.objects[_key(live)]
            self._applied.pop(_key(live), None)
            self._tell("DELETED", found)

    async def merge_status(self, resource, namespace, name, status):
        key = (resource.kind, namespace, name)
        self._written("status", resource.kind, name)
        if key not in self.objects:
            raise ApiError(404, "NotFound", f"{resource.plural} {name} not found")
        live = self.objects[key]
        return self._store(live | {"status": _merged(live.get("status") or {}, status)}, live["metadata"]["uid"])

    async def create(self, resource, manifest):
        self._requested("create", resource, manifest)
        if "generateName" in manifest["metadata"]:
            return manifest
        if _key(manifest) in self.objects:
            raise ApiError(409, "AlreadyExists", f"{resource.plural} already exists")
        return self._store(manifest, f"uid-{next(self._numbers)}")

    async def replace(self, resource, manifest):
        self._requested("replace", resource, manifest)
        live = self.objects.get(_key(manifest))
        if live is None:
            raise ApiError(404, "NotFound", f"{resource.plural} not found")
        given = manifest["metadata"]
        if any(given[name] != live["metadata"][name] for name in ("uid", "resourceVersion")):
            raise ApiError(409, "Conflict", "the object has been modified")
        return self._store(manifest, live["metadata"]["uid"])

    async def get(self, resource, namespace, name):
        self._answers()
        return copy.deepcopy(self.objects.get((resource.kind, namespace, name)))

    async def merge(self, resource, namespace, name, patch):
        self._written("merge", resource.kind, name)
        live = self.objects[resource.kind, namespace, name]
        if patch["metadata"].get("resourceVersion", "") not in ("", live["metadata"]["resourceVersion"]):
            raise ApiError(409, "Conflict", "the object has been modified")
        return self._store(_merged(live, patch), live["metadata"]["uid"])

    async def list_all(self, resource, namespace, selector):
        self._answers()
        found = [live for live in self.objects.values() if live["kind"] == resource.kind and _selected(live, selector)]
        return copy.deepcopy(found), str(next(self._numbers))

    async def watch(self, resource, namespace, selector, version):
        events = asyncio.Queue()
        self._watches.append(events)
        try:
            while True:
                kind, live = await events.get()
                self._answers()
                if kind == "ERROR":
                    raise ApiError(410, "Expired", "too old resource version")
                if live["kind"] == resource.kind and _selected(live, selector):
                    yield kind, copy.deepcopy(live)
        finally:
            self._watches.remove(events)

    async def last_log_line(self, namespace, pod, container):
        return ""

    async def first_log_bytes(self, namespace, pod, container, count):
        return self.logs[pod][:count]

    def _requested(self, method, resource, manifest):
        metadata = manifest["metadata"]
        assert (resource.kind, resource.api_version) == (manifest["kind"], manifest.get("apiVersion"))
        self._written(method, resource.kind, metadata.get("name") or metadata["generateName"])
        if resource.kind in self.refusals:
            raise self.refusals[resource.kind]

    def _written(self, method, kind, name):
        self._answers()
        if self._may_write and not self._may_write():
            raise NotLeading("This operator does not lead.")
        self.writes.append((method, kind, name))

    def _answers(self):
        if self.cut.is_set():
            raise Unreachable("The API server did not answer.")

    def _tell(self, kind, live):
        for events in self._watches:
            events.put_nowait((kind, live))

    def _store(self, manifest, uid):
        key = _key(manifest)
        known = self.objects.get(key)
        stored = copy.deepcopy(manifest)
        metadata = stored["metadata"]
        metadata |= {"uid": uid, "creationTimestamp": CREATED}
        if known:
            same = {name: known["metadata"].get(name) for name in ("resourceVersion", "generation")}
            if merge_patch(known, stored | {"metadata": metadata | same}) == {}:
                return copy.deepcopy(known)
            changed = known.get("spec") != stored.get("spec")
            metadata["generation"] = known["metadata"]["generation"] + changed
        else:
            metadata.setdefault("generation", 1)
        metadata["resourceVersion"] = str(next(self._numbers))
        self.objects[key] = stored
        self._tell("MODIFIED" if known else "ADDED", stored)
        return copy.deepcopy(stored)


def _key(manifest):
    return manifest["kind"], manifest["metadata"]["namespace"], manifest["metadata"]["name"]


def _merged(base, patch):
    merged = copy.deepcopy(base)
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict):
            merged[name] = _merged(merged[name] if isinstance(merged.get(name), dict) else {}, value)
        else:
            merged[name] = copy.deepcopy(value)
    return merged


def _without(live, before, after):
    """What this manager set earlier and sets no longer goes."""
    kept = copy.deepcopy(live)
    for name, value in before.items():
        if name not in after:
            kept.pop(name, None)
        elif isinstance(value, dict) and isinstance(kept.get(name), dict) and isinstance(after[name], dict):
            kept[name] = _without(kept[name], value, after[name])
    return kept


def _conflicts(manifest, live, before):
    """Whether another value than the wanted one is somebody else's."""
    return any(
        _conflicts(value, live[name], before.get(name) or {})
        if isinstance(value, dict) and isinstance(live[name], dict)
        else live[name] not in (value, before.get(name))
        for name, value in manifest.items()
        if name in live
    )


def _selected(live, selector):
    labels = live["metadata"].get("labels") or {}
    return all(labels.get(name) == value for name, value in (each.split("=") for each in selector.split(",") if each))
