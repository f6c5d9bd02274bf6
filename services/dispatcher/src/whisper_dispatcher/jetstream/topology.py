"""Every stream, consumer and bucket as it must be, and the one function that makes it so."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import structlog

from whisper_contracts import names
from whisper_dispatcher.jetstream.errors import NO_STREAM, QueueRefused, QueueUnavailable
from whisper_dispatcher.jetstream.streams import JetStream

log = structlog.get_logger()

NANOSECONDS = 1_000_000_000
DUPLICATE_WINDOW_S = 120
PLAN_ACK_WAIT_S = 15
"""A planner that died is noticed after this; a living one says `in progress` more often."""
WINDOW_ACK_WAIT_S = 15
MAX_ACK_PENDING = 10_000
UNLIMITED = -1
MAX_WAITING = 4_096
"""Must exceed the fleet's waiting pulls: of 600 pulls, 88 were refused at the default of 512."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Stream limits in bytes; together they must stay under the disk: on a full disk publishes only time out."""

    plan_messages: int = 100_000
    windows_bytes: int = 4 * 1024**3
    journal_bytes: int = 4 * 1024**3
    audio_bytes: int = 16 * 1024**3
    replicas: int = 1

    @property
    def store_bytes(self) -> int:
        """What the server may fill: the streams with a limit, and a tenth for those that hold small messages."""
        return self._bytes * 11 // 10

    def within(self, store_bytes: int) -> Limits:
        """The same, or in the same shares as much less as fits into a store of this size."""
        share = min(1.0, store_bytes * 10 / 11 / self._bytes)
        return replace(
            self,
            windows_bytes=int(self.windows_bytes * share),
            journal_bytes=int(self.journal_bytes * share),
            audio_bytes=int(self.audio_bytes * share),
        )

    @property
    def _bytes(self) -> int:
        return self.windows_bytes + self.journal_bytes + self.audio_bytes


def streams(limits: Limits) -> list[dict[str, Any]]:
    work: dict[str, Any] = {
        "retention": "workqueue",
        "storage": "file",
        # No max_age: it would delete accepted jobs silently.
        "discard": "new",
        "num_replicas": limits.replicas,
        "duplicate_window": DUPLICATE_WINDOW_S * NANOSECONDS,
    }
    kept = {"retention": "limits", "storage": "file", "discard": "new", "num_replicas": limits.replicas}
    direct = {"allow_direct": True}
    key_value = kept | direct | {"max_msgs_per_subject": 1, "allow_rollup_hdrs": True, "deny_delete": True}
    return [
        work | {"name": names.PLAN_STREAM, "subjects": [names.PLAN_SUBJECTS], "max_msgs": limits.plan_messages},
        work | {"name": names.WINDOWS_STREAM, "subjects": [names.WINDOWS_SUBJECTS], "max_bytes": limits.windows_bytes},
        work | {"name": names.HOOKS_STREAM, "subjects": [names.HOOKS_SUBJECTS], "max_msgs": limits.plan_messages},
        kept
        | direct
        | {
            "name": names.JOURNAL_STREAM,
            "subjects": list(names.JOURNAL_SUBJECTS),
            "max_bytes": limits.journal_bytes,
            "allow_msg_ttl": True,
        },
        kept
        | direct
        | {
            "name": f"OBJ_{names.AUDIO_BUCKET}",
            "subjects": [f"$O.{names.AUDIO_BUCKET}.C.>", f"$O.{names.AUDIO_BUCKET}.M.>"],
            "max_bytes": limits.audio_bytes,
            "allow_rollup_hdrs": True,
        },
        key_value | {"name": f"KV_{names.CLIENTS_BUCKET}", "subjects": [f"$KV.{names.CLIENTS_BUCKET}.>"]},
        key_value | {"name": f"KV_{names.MODELS_BUCKET}", "subjects": [f"$KV.{names.MODELS_BUCKET}.>"]},
    ]


def consumers() -> list[tuple[str, dict[str, Any]]]:
    """The consumers that do not depend on a model."""
    plans = [
        (names.PLAN_STREAM, work_consumer(names.plan_consumer(class_), f"whisper.plan.{class_}.>", PLAN_ACK_WAIT_S))
        for class_ in names.CLASSES
    ]
    hooks = work_consumer("hooks", names.HOOKS_SUBJECTS, PLAN_ACK_WAIT_S)
    # Those that wait for their next try count as pending: one client's could shut out everybody's.
    return [*plans, (names.HOOKS_STREAM, hooks | {"max_ack_pending": UNLIMITED})]


def model_consumers(model: str) -> list[tuple[str, dict[str, Any]]]:
    return [
        (
            names.WINDOWS_STREAM,
            work_consumer(
                names.windows_consumer(model, class_), names.windows_filter(model, class_), WINDOW_ACK_WAIT_S
            ),
        )
        for class_ in names.CLASSES
    ]


def work_consumer(name: str, subject_filter: str, ack_wait_s: int) -> dict[str, Any]:
    return {
        "durable_name": name,
        "filter_subject": subject_filter,
        "ack_policy": "explicit",
        "ack_wait": ack_wait_s * NANOSECONDS,
        # Attempts are ours, in the journal: a message out of JetStream's own deliveries stays stuck and invisible.
        "max_deliver": -1,
        "max_ack_pending": MAX_ACK_PENDING,
        "max_waiting": MAX_WAITING,
        "deliver_policy": "all",
        "replay_policy": "instant",
    }


async def ensure_streams(jetstream: JetStream, limits: Limits) -> None:
    """Create or update every stream and the consumers no model owns. Safe to run from several processes at once.

    Raises QueueRefused.
    """
    for config in streams(limits):
        await _ensure_stream(jetstream, config)
    for stream, config in consumers():
        await _ensure_consumer(jetstream, stream, config)


async def ensure_model(jetstream: JetStream, model: str) -> None:
    """Raises QueueRefused."""
    for stream, config in model_consumers(model):
        await _ensure_consumer(jetstream, stream, config)


async def wait_for_streams(jetstream: JetStream) -> None:
    """For processes that may not create streams: returns once the journal is there."""

    async def is_there() -> bool:
        return "config" in await jetstream.api(f"STREAM.INFO.{names.JOURNAL_STREAM}")

    await _wait_until(is_there)


async def wait_for_streams_as_worker(jetstream: JetStream, model: str) -> None:
    """The same by what a worker may ask: a stream's information names every client and job."""

    async def is_there() -> bool:
        await jetstream.get_last(names.JOURNAL_STREAM, names.attempt_subject(model, "no-client", "no-job", 0))
        return True

    await _wait_until(is_there)


async def _wait_until(is_there: Callable[[], Awaitable[bool]]) -> None:
    while True:
        with suppress(QueueUnavailable):
            if await is_there():
                return
        log.info("waiting for the streams")
        await asyncio.sleep(0.5)


async def _ensure_stream(jetstream: JetStream, config: dict[str, Any]) -> None:
    name = config["name"]
    created = await jetstream.api(f"STREAM.CREATE.{name}", config)
    if not created.get("error"):
        return
    updated = await jetstream.api(f"STREAM.UPDATE.{name}", config)
    if error := updated.get("error"):
        is_missing = error.get("err_code") == NO_STREAM
        raise QueueRefused(f"stream {name}", created["error"] if is_missing else error)


async def _ensure_consumer(jetstream: JetStream, stream: str, config: dict[str, Any]) -> None:
    body = {"stream_name": stream, "config": config}
    answer = await jetstream.api(f"CONSUMER.DURABLE.CREATE.{stream}.{config['durable_name']}", body)
    if error := answer.get("error"):
        raise QueueRefused(f"consumer {config['durable_name']} of {stream}", error)
