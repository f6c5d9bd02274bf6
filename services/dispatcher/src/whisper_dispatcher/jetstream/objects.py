"""Long audio in the object store: streamed in from an upload, streamed out to a file."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from whisper_dispatcher.jetstream.errors import QueueUnavailable
from whisper_dispatcher.jetstream.streams import JetStream, Stored

CHUNK_BYTES = 128 * 1024
_SHA256 = "SHA-256="


@dataclass(frozen=True, slots=True)
class StoredObject:
    name: str
    nuid: str
    """Of this upload; a later one of the same name has another."""
    sequence: int
    sha256: str


class Upload:
    """One object being written in the object store's own format, chunk by chunk, in bounded memory.

    nats-py's `put` wants a blocking reader, and a request body is not one. The object exists from
    `finish` on; chunks of an upload that was cut are swept by `sweep_chunks`.
    """

    def __init__(self, jetstream: JetStream, bucket: str, name: str) -> None:
        self._jetstream = jetstream
        self._bucket = bucket
        self.name = name
        self._nuid = jetstream.client.new_inbox().rsplit(".", 1)[-1]
        self._digest = hashlib.sha256()
        self._buffer = bytearray()
        self._chunks = 0
        self.size_bytes = 0

    @property
    def _chunk_subject(self) -> str:
        return f"$O.{self._bucket}.C.{self._nuid}"

    async def write(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= CHUNK_BYTES:
            await self._publish_chunk(bytes(self._buffer[:CHUNK_BYTES]))
            del self._buffer[:CHUNK_BYTES]

    async def _publish_chunk(self, chunk: bytes) -> None:
        self._digest.update(chunk)
        self.size_bytes += len(chunk)
        self._chunks += 1
        await self._jetstream.publish(self._chunk_subject, chunk)

    async def finish(self, last_sequence: int | None = None) -> None:
        """last_sequence: of the object that it may take the place of; 0: of none. Raises WrongLastSequence."""
        if self._buffer:
            await self._publish_chunk(bytes(self._buffer))
            self._buffer.clear()
        info = {
            "name": self.name,
            "bucket": self._bucket,
            "nuid": self._nuid,
            "size": self.size_bytes,
            "chunks": self._chunks,
            "digest": _encoded(self._digest),
            "mtime": datetime.now(UTC).isoformat(),
            "options": {"max_chunk_size": CHUNK_BYTES},
        }
        # An upload that took longer than two sweeps are apart has lost what it sent first.
        if not await self._jetstream.holds(f"OBJ_{self._bucket}", self._chunk_subject, self._chunks):
            raise QueueUnavailable(f"the chunks of {self.name} are not all there any more")
        subject, described, headers = _info_subject(self._bucket, self.name), json.dumps(info), {"Nats-Rollup": "sub"}
        if last_sequence is None:
            await self._jetstream.publish(subject, described.encode(), headers=headers)
        else:
            await self._jetstream.publish_once(
                subject, described.encode(), last_sequence=last_sequence, headers=headers
            )

    async def abort(self) -> None:
        await self._jetstream.purge(f"OBJ_{self._bucket}", self._chunk_subject)


def _info_subject(bucket: str, name: str) -> str:
    return f"$O.{bucket}.M.{base64.urlsafe_b64encode(name.encode()).decode()}"


async def download(jetstream: JetStream, bucket: str, name: str, target: Path) -> None:
    """Raises FileNotFoundError when the object is not there (any more), or not whole; QueueUnavailable when that is
    so of the replica alone that was read.

    Read chunk by chunk with direct gets: nats-py's own `get` needs rights over every stream of the account.
    """
    stream = f"OBJ_{bucket}"
    stored = await jetstream.get_last(stream, _info_subject(bucket, name))
    if stored is None:
        if await jetstream.holds(stream, _info_subject(bucket, name)):
            raise QueueUnavailable(f"a replica of {stream} is behind")
        raise FileNotFoundError(f"object {name} is not in {bucket}")
    info = json.loads(stored.data)
    chunks = f"$O.{bucket}.C.{info['nuid']}"
    digest = hashlib.sha256()
    with target.open("wb") as file:
        async for chunk in jetstream.messages(stream, chunks):
            digest.update(chunk.data)
            file.write(chunk.data)
    if _encoded(digest) != info["digest"]:
        if await jetstream.holds(stream, chunks, info["chunks"]):
            raise QueueUnavailable(f"a replica of {stream} is behind")
        raise FileNotFoundError(f"object {name} in {bucket} is not whole")


def _encoded(digest: hashlib._Hash) -> str:
    return _SHA256 + base64.urlsafe_b64encode(digest.digest()).decode()


async def delete(jetstream: JetStream, bucket: str, name: str) -> None:
    """Deleting what is not there is no error."""
    if found := await find(jetstream, bucket, name):
        await remove(jetstream, bucket, found)


async def remove(jetstream: JetStream, bucket: str, found: StoredObject) -> None:
    """This very upload: one that has taken its name meanwhile stays."""
    stream = f"OBJ_{bucket}"
    await jetstream.purge(stream, _info_subject(bucket, found.name), before=found.sequence + 1)
    await jetstream.purge(stream, f"$O.{bucket}.C.{found.nuid}")


async def find(jetstream: JetStream, bucket: str, name: str) -> StoredObject | None:
    stored = await jetstream.get_last(f"OBJ_{bucket}", _info_subject(bucket, name))
    return _described(stored) if stored else None


async def listed(jetstream: JetStream, bucket: str) -> list[StoredObject]:
    stream = f"OBJ_{bucket}"
    subjects = await jetstream.subjects(stream, f"$O.{bucket}.M.>")
    return [_described(stored) for stored in await jetstream.get_all_last(stream, list(subjects))]


def _described(stored: Stored) -> StoredObject:
    info = json.loads(stored.data)
    digest = base64.urlsafe_b64decode(info["digest"].removeprefix(_SHA256))
    return StoredObject(info["name"], info["nuid"], stored.sequence, digest.hex())


async def sweep_chunks(jetstream: JetStream, bucket: str, seen: set[str]) -> set[str]:
    """Purge the chunks of uploads that were cut, which no listing of objects shows.

    Only what had no object at the last sweep either (`seen`) is purged, so that an upload under way is
    left alone when sweeps are further apart than an upload lasts. Returns what has none now.
    """
    stream = f"OBJ_{bucket}"
    chunk_subjects = await jetstream.subjects(stream, f"$O.{bucket}.C.>")
    owned = {f"$O.{bucket}.C.{found.nuid}" for found in await listed(jetstream, bucket)}
    orphans = chunk_subjects.keys() - owned
    for subject in orphans & seen:
        await jetstream.purge(stream, subject)
    return orphans - seen
