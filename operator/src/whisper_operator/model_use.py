"""Which WhisperServers use which WhisperModel."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from whisper_operator.crd.definition import API_VERSION, WHISPER_SERVER
from whisper_operator.resources import Manifest, ObjectKey, key_of


@dataclass(frozen=True, slots=True)
class ModelUser:
    name: str
    uid: str

    def as_owner(self) -> dict[str, Any]:
        """Not as controller: it keeps the claim from going before it."""
        return {"apiVersion": API_VERSION, "kind": WHISPER_SERVER.kind, "name": self.name, "uid": self.uid}


@dataclass(slots=True)
class ModelUses:
    _used: dict[ObjectKey, ObjectKey] = field(default_factory=dict)
    """By server, its model."""
    _users: dict[ObjectKey, dict[ObjectKey, ModelUser]] = field(default_factory=dict)
    """By model, its servers."""

    def see(self, body: Manifest) -> set[ObjectKey]:
        """A WhisperServer as it is now. Returns the models whose users this changes."""
        metadata = body["metadata"]
        key = key_of(body)
        named = model_named(body)
        used = (key[0], named) if named else None
        user = ModelUser(metadata["name"], metadata["uid"])
        if used and self._users.get(used, {}).get(key) == user:
            return set()
        concerned = self.forget(key)
        if used:
            self._used[key] = used
            self._users.setdefault(used, {})[key] = user
            concerned.add(used)
        return concerned

    def forget(self, key: ObjectKey) -> set[ObjectKey]:
        used = self._used.pop(key, None)
        if used is None:
            return set()
        users = self._users[used]
        del users[key]
        if not users:
            del self._users[used]
        return {used}

    def servers(self, model: ObjectKey) -> set[ObjectKey]:
        return set(self._users.get(model, ()))

    def users(self, model: ObjectKey) -> list[ModelUser]:
        return sorted(self._users.get(model, {}).values(), key=lambda user: user.name)


def model_named(body: Manifest) -> str | None:
    """Read loosely: a spec that is wrong elsewhere still keeps its model."""
    model = (body.get("spec") or {}).get("model") or {}
    name = (model.get("whisperModel") or {}).get("name")
    return name if isinstance(name, str) else None
