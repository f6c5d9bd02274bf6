"""An API server in memory, as strict as the real one in what a reconcile can run into.

Server-side apply with field owners by object, versions and generations that change only with the content, conflicts,
preconditions, immutable Job templates, a status that only its subresource writes. Lists are replaced as a whole.
"""

import copy
import itertools

from whisper_operator.cluster import ApiError
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
        self._applied = {}
        self._numbers = itertools.count(1)

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
        before = self._applied.get(key)
        if before is None and not force and _conflicts(manifest, live):
            raise ApiError(409, "Conflict", 'Apply failed with 1 conflict: conflict with "kubectl"')
        wanted = _merged(_without(live, before or {}, manifest), manifest)
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

    async def merge_status(self, resource, namespace, name, status):
        key = (resource.kind, namespace, name)
        self.writes.append(("status", resource.kind, name))
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

    async def get(self, resource, namespace, name):
        return copy.deepcopy(self.objects.get((resource.kind, namespace, name)))

    async def merge(self, resource, namespace, name, patch):
        self.writes.append(("merge", resource.kind, name))
        live = self.objects[resource.kind, namespace, name]
        if patch["metadata"].get("resourceVersion", "") not in ("", live["metadata"]["resourceVersion"]):
            raise ApiError(409, "Conflict", "the object has been modified")
        return self._store(_merged(live, patch), live["metadata"]["uid"])

    async def list_all(self, resource, namespace, selector):
        assert not selector
        found = [live for (kind, _, _), live in self.objects.items() if kind == resource.kind]
        return copy.deepcopy(found), "1"

    async def last_log_line(self, namespace, pod, container):
        return ""

    async def first_log_bytes(self, namespace, pod, container, count):
        return self.logs[pod][:count]

    def _requested(self, method, resource, manifest):
        metadata = manifest["metadata"]
        assert (resource.kind, resource.api_version) == (manifest["kind"], manifest.get("apiVersion"))
        self.writes.append((method, resource.kind, metadata.get("name") or metadata["generateName"]))
        if resource.kind in self.refusals:
            raise self.refusals[resource.kind]

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


def _conflicts(manifest, live):
    return any(
        _conflicts(value, live[name])
        if isinstance(value, dict) and isinstance(live[name], dict)
        else value != live[name]
        for name, value in manifest.items()
        if name in live
    )
