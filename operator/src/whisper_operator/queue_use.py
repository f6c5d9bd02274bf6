"""Which WhisperServers serve which queue. A queue has one model; a second one on it is refused."""

from __future__ import annotations

from dataclasses import dataclass, field

from whisper_contracts.messages import ModelRecord
from whisper_operator.children.worker_pod import queue_name
from whisper_operator.crd.model_source import DownloadSource, ModelSource
from whisper_operator.resources import Manifest, ObjectKey
from whisper_operator.server import Server


@dataclass(frozen=True, slots=True)
class QueueUse:
    """What one WhisperServer says of its queue."""

    queue: str
    model: tuple[str, ...]
    created_at: float
    aliases: tuple[str, ...]
    languages: tuple[str, ...]
    is_default: bool


def queue_use(server: Server) -> QueueUse:
    spoken = server.spec.queue
    name = queue_name(server)
    return QueueUse(
        queue=name,
        model=model_identity(server.shared.spec.source if server.shared else server.spec.model, server.namespace),
        created_at=server.created_at,
        aliases=tuple(spoken.aliases),
        languages=tuple(spoken.languages) or (("en",) if name.endswith(".en") else ()),
        is_default=spoken.default,
    )


def queue_named(body: Manifest) -> str | None:
    """Read loosely: a spec that is wrong elsewhere still keeps its queue."""
    spec = body.get("spec") or {}
    name = (spec.get("queue") or {}).get("name") or (spec.get("model") or {}).get("name")
    return name if isinstance(name, str) else None


def model_identity(source: DownloadSource, namespace: str) -> tuple[str, ...]:
    """Equal for equal files, wherever they are fetched from. What lies on a claim is known by its place alone."""
    if known := source.http or source.s3:
        return ("sha256", known.sha256)
    if source.hugging_face:
        found = source.hugging_face
        return ("huggingFace", found.repository, found.file, found.sha256 or found.revision)
    if isinstance(source, ModelSource) and source.claim:
        return ("claim", namespace, source.claim.name, source.claim.path)
    if isinstance(source, ModelSource) and source.whisper_model:
        return ("whisperModel", namespace, source.whisper_model.name)
    return ("name", source.name or "")


@dataclass(slots=True)
class QueueUses:
    _uses: dict[ObjectKey, QueueUse] = field(default_factory=dict)
    _by_queue: dict[str, set[ObjectKey]] = field(default_factory=dict)
    _oldest: dict[str, ObjectKey] = field(default_factory=dict)
    """Of each queue; its model is the queue's."""

    def see(self, key: ObjectKey, use: QueueUse) -> set[ObjectKey] | None:
        """Returns the other servers of queues that now are another server's; None: nothing has changed."""
        if self._uses.get(key) == use:
            return None
        concerned = self.forget(key)
        self._uses[key] = use
        others = set(self._by_queue.setdefault(use.queue, set()))
        self._by_queue[use.queue].add(key)
        oldest = self._oldest.get(use.queue)
        if oldest is None or self._age(key) < self._age(oldest):
            self._oldest[use.queue] = key
            concerned |= others
        return concerned

    def forget(self, key: ObjectKey) -> set[ObjectKey]:
        known = self._uses.pop(key, None)
        if known is None:
            return set()
        others = self._by_queue[known.queue]
        others.discard(key)
        if self._oldest[known.queue] != key:
            return set()
        if others:
            self._oldest[known.queue] = min(others, key=self._age)
        else:
            del self._by_queue[known.queue], self._oldest[known.queue]
        return set(others)

    def users(self, queue: str) -> set[ObjectKey]:
        return self._by_queue.get(queue, set())

    def queues(self) -> set[str]:
        return set(self._by_queue)

    def refusal(self, key: ObjectKey) -> str | None:
        """Why this server may not serve its queue: an older one serves another model there."""
        use = self._uses[key]
        oldest = self._oldest[use.queue]
        holder = self._uses[oldest]
        if holder.model == use.model:
            return None
        return (
            f"The queue {use.queue} belongs to another model: WhisperServer {'/'.join(oldest)} serves "
            f"{' '.join(holder.model)} there. Give this one another spec.queue.name."
        )

    def records(self, owner: str) -> dict[str, ModelRecord]:
        """What the gateway is to know of each queue's model."""
        return {queue: self._record(queue, owner) for queue in self._by_queue}

    def _record(self, queue: str, owner: str) -> ModelRecord:
        oldest = self._uses[self._oldest[queue]]
        uses = [use for use in map(self._uses.__getitem__, self._by_queue[queue]) if use.model == oldest.model]
        all_languages = any(not use.languages for use in uses)
        return ModelRecord(
            name=queue,
            aliases=tuple(sorted({alias for use in uses for alias in use.aliases})),
            languages=() if all_languages else tuple(sorted({each for use in uses for each in use.languages})),
            default=any(use.is_default for use in uses),
            created_at=oldest.created_at,
            owner=owner,
        )

    def _age(self, key: ObjectKey) -> tuple[float, ObjectKey]:
        return self._uses[key].created_at, key
