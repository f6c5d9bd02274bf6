"""The durable queue as the operator uses it: its streams, each model's consumers and record, and how much waits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import structlog
from pydantic import ValidationError

from whisper_contracts import names
from whisper_contracts.messages import ModelRecord
from whisper_dispatcher.jetstream import buckets, topology
from whisper_dispatcher.jetstream.errors import QueueUnavailable
from whisper_dispatcher.jetstream.streams import JetStream
from whisper_dispatcher.jetstream.topology import Limits
from whisper_operator.scaling import Load

log = structlog.get_logger()


class SpeechQueue:
    def __init__(self, jetstream: JetStream, limits: Limits) -> None:
        self._jetstream = jetstream
        self._limits = limits
        self._known: dict[str, ModelRecord] | None = None
        jetstream.on_disconnect(self._forget)

    def _forget(self) -> None:
        """Another NATS may answer next time, or the same one without its data."""
        self._known = None

    async def write(self, wanted: Mapping[str, ModelRecord]) -> None:
        """Streams, consumers and records, as far as they are missing or different.

        Raises QueueUnavailable or QueueRefused.
        """
        known = await self._prepared()
        for name, record in wanted.items():
            if known.get(name) == record:
                continue
            await topology.ensure_model(self._jetstream, name)
            await buckets.put(self._jetstream, names.MODELS_BUCKET, names.token(name), record.encode())
            known[name] = record
            log.info("queue served", queue=name, aliases=record.aliases)

    async def owned(self, owner: str) -> set[str]:
        """The queues whose record is ours."""
        return {name for name, record in (await self._prepared()).items() if record.owner == owner}

    async def remove(self, queues: Iterable[str]) -> None:
        """Takes the models from the gateway's list. What waits in the queue stays, and so do its consumers."""
        known = await self._prepared()
        for name in queues:
            await buckets.delete(self._jetstream, names.MODELS_BUCKET, names.token(name))
            known.pop(name, None)
            log.info("queue no longer served", queue=name)

    async def load(self, queue: str) -> Load:
        """Raises QueueUnavailable."""
        pending = in_flight = 0
        for class_ in names.CLASSES:
            consumer = names.windows_consumer(queue, class_)
            answer = await self._jetstream.api(f"CONSUMER.INFO.{names.WINDOWS_STREAM}.{consumer}")
            if "num_pending" not in answer:
                raise QueueUnavailable(f"The queue {queue} has no consumer {consumer} yet.")
            pending += int(answer["num_pending"])
            in_flight += int(answer["num_ack_pending"])
        return Load(pending, in_flight)

    async def _prepared(self) -> dict[str, ModelRecord]:
        if self._known is None:
            await topology.ensure_streams(self._jetstream, self._limits)
            self._known = await self._records()
        return self._known

    async def _records(self) -> dict[str, ModelRecord]:
        found: dict[str, ModelRecord] = {}
        for data in (await buckets.entries(self._jetstream, names.MODELS_BUCKET)).values():
            try:
                record = ModelRecord.decode(data)
            except ValidationError:
                continue  # a later version's; it is written again if it is ours
            found[record.name] = record
        return found
