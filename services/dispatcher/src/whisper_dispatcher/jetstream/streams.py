"""The streams, as the processes are built from them: publish, read, purge."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog
from nats.aio.msg import Msg

from whisper_dispatcher.jetstream.cancellation import heeding_cancel
from whisper_dispatcher.jetstream.connection import REQUEST_TIMEOUT_S, TRANSPORT_ERRORS, Connection
from whisper_dispatcher.jetstream.errors import (
    NO_MESSAGE_FOUND,
    NO_SPACE,
    STREAM_FULL,
    WRONG_LAST_SEQUENCE,
    QueueFull,
    QueueUnavailable,
    WrongLastSequence,
)

log = structlog.get_logger()

MULTI_GET_MAX_SUBJECTS = 1000
"""The server refuses a batch direct get that matches more than 1,024 subjects."""
BATCH_MESSAGES = 32
BATCH_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Stored:
    """A message as it lies in a stream."""

    subject: str
    sequence: int
    data: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class JetStream(Connection):
    """JetStream as this project uses it. Every method raises QueueUnavailable when NATS is away."""

    async def publish(
        self,
        subject: str,
        data: bytes,
        *,
        message_id: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> int:
        """Store a message; its stream sequence comes back once it is on disk.

        Raises QueueFull when the stream is at its limit.
        """
        all_headers = dict(headers or {})
        if message_id:
            all_headers["Nats-Msg-Id"] = message_id
        return await self._publish(subject, data, all_headers, timeout_s)

    async def publish_once(
        self,
        subject: str,
        data: bytes,
        *,
        last_sequence: int = 0,
        of_subject: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> int:
        """Store a message only if the last one of its subject has `last_sequence` (0: there is none).

        of_subject: look there instead. Raises WrongLastSequence when somebody else was first.
        """
        expected = {"Nats-Expected-Last-Subject-Sequence": str(last_sequence)}
        if of_subject:
            expected["Nats-Expected-Last-Subject-Sequence-Subject"] = of_subject
        return await self._publish(subject, data, dict(headers or {}) | expected, REQUEST_TIMEOUT_S)

    async def _publish(self, subject: str, data: bytes, headers: dict[str, str], timeout_s: float) -> int:
        reply = await self.request(subject, data, headers=headers or None, timeout_s=timeout_s)
        answer = json.loads(reply.data)
        if error := answer.get("error"):
            raise _publish_error(subject, error)
        return int(answer["seq"])

    async def api(self, endpoint: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """A JetStream API call; the answer's `error`, if any, is left to the caller."""
        reply = await self.request(f"$JS.API.{endpoint}", json.dumps(body or {}).encode())
        answer: dict[str, Any] = json.loads(reply.data)
        return answer

    async def get_last(self, stream: str, subject: str) -> Stored | None:
        reply = await self.request(f"$JS.API.DIRECT.GET.{stream}.{subject}", b"")
        return _stored(reply)

    async def get_last_of_leader(self, stream: str, subject: str) -> Stored | None:
        """What every write that was acknowledged has left: `get_last` may be answered by a replica that is behind."""
        answer = await self.api(f"STREAM.MSG.GET.{stream}", {"last_by_subj": subject})
        if (answer.get("error") or {}).get("err_code") == NO_MESSAGE_FOUND:
            return None
        if "message" not in answer:
            raise QueueUnavailable(f"a read from {stream} was refused: {answer.get('error')}")
        found = answer["message"]
        return Stored(found["subject"], int(found["seq"]), base64.b64decode(found.get("data", "")), {})

    async def get_all_last(self, stream: str, subjects: list[str]) -> list[Stored]:
        """The last message of every matching subject, in one request a thousand subjects.

        A filter with wildcards may match at most 1,000 subjects; longer lists are split.
        """
        found: list[Stored] = []
        for start in range(0, len(subjects), MULTI_GET_MAX_SUBJECTS):
            found += await self._multi_get(stream, subjects[start : start + MULTI_GET_MAX_SUBJECTS])
        return found

    async def _multi_get(self, stream: str, subjects: list[str]) -> list[Stored]:
        return await self._batch_get(stream, {"multi_last": subjects, "batch": MULTI_GET_MAX_SUBJECTS + 24})

    async def messages(self, stream: str, subject: str) -> AsyncIterator[Stored]:
        """Every message of one subject, oldest first, a few at a time: for objects of any size."""
        sequence = 1
        while batch := await self._batch_get(
            stream, {"seq": sequence, "next_by_subj": subject, "batch": BATCH_MESSAGES, "max_bytes": BATCH_BYTES}
        ):
            for stored in batch:
                yield stored
            sequence = batch[-1].sequence + 1

    async def _batch_get(self, stream: str, query: Mapping[str, Any]) -> list[Stored]:
        inbox = self.client.new_inbox()
        messages: list[Stored] = []
        try:
            subscription = await self.client.subscribe(inbox)
        except TRANSPORT_ERRORS as error:
            raise QueueUnavailable("NATS is away") from error
        try:
            await self.client.publish(f"$JS.API.DIRECT.GET.{stream}", json.dumps(query).encode(), reply=inbox)
            while True:
                message = await heeding_cancel(subscription.next_msg(timeout=REQUEST_TIMEOUT_S))
                status = (message.headers or {}).get("Status")
                if status in ("204", "404"):
                    return messages
                stored = _stored(message)
                if stored is None:
                    raise QueueUnavailable(f"batch get from {stream} was refused: {message.headers}")
                messages.append(stored)
        except TRANSPORT_ERRORS as error:
            raise QueueUnavailable(f"NATS did not answer a batch get from {stream}") from error
        finally:
            await _quietly(subscription.unsubscribe())

    async def purge(self, stream: str, subject: str, *, before: int | None = None) -> int:
        """before: what has this sequence or a later one stays."""
        bound = {"seq": before} if before is not None else {}
        answer = await self.api(f"STREAM.PURGE.{stream}", {"filter": subject} | bound)
        return int(answer.get("purged", 0))

    async def subjects(self, stream: str, subject_filter: str) -> dict[str, int]:
        """Which subjects of a stream hold how many messages (a work stream: what is still to be done)."""
        found: dict[str, int] = {}
        while True:
            answer = await self.api(f"STREAM.INFO.{stream}", {"subjects_filter": subject_filter, "offset": len(found)})
            page = (answer.get("state") or {}).get("subjects") or {}
            found |= page
            if not page or len(found) >= int(answer.get("total", 0)):
                return found

    async def holds(self, stream: str, subject: str, messages: int = 1) -> bool:
        """Asked of the stream's leader: a read may be answered by a replica that is behind, and find nothing."""
        return (await self.subjects(stream, subject)).get(subject, 0) >= messages


def _publish_error(subject: str, error: Mapping[str, Any]) -> Exception:
    match error.get("err_code"):
        case code if code == WRONG_LAST_SEQUENCE:
            return WrongLastSequence(subject)
        case code if code in (STREAM_FULL, NO_SPACE):
            return QueueFull(subject)
    if "maximum" in str(error.get("description", "")):
        return QueueFull(subject)
    return QueueUnavailable(f"publish to {subject} was refused: {error.get('description')}")


def _stored(message: Msg) -> Stored | None:
    headers = dict(message.headers or {})
    if "Nats-Sequence" not in headers:
        return None
    return Stored(
        subject=headers["Nats-Subject"], sequence=int(headers["Nats-Sequence"]), data=message.data, headers=headers
    )


async def _quietly(awaitable: Awaitable[Any]) -> None:
    try:
        await awaitable
    except TRANSPORT_ERRORS:
        log.debug("nats call at clean-up failed; the server forgets it by itself")


@asynccontextmanager
async def connected(url: str, *, name: str, **credentials: str | None) -> AsyncIterator[JetStream]:
    jetstream = await JetStream.connect(url, name=name, **credentials)
    try:
        yield jetstream
    finally:
        await jetstream.close()
