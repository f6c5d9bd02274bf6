"""The two key-value buckets, as NATS' own key-value store lays them out."""

from __future__ import annotations

from whisper_dispatcher.jetstream.streams import JetStream, Stored


def key_subject(bucket: str, key: str) -> str:
    return f"$KV.{bucket}.{key}"


def key_of(subject: str) -> str:
    return subject.split(".", 2)[2]


def is_deleted(stored: Stored) -> bool:
    return stored.headers.get("KV-Operation") in ("DEL", "PURGE")


async def put(jetstream: JetStream, bucket: str, key: str, data: bytes) -> None:
    await jetstream.publish(key_subject(bucket, key), data)


async def delete(jetstream: JetStream, bucket: str, key: str) -> None:
    """Leaves a marker, so that every watch hears of it."""
    await jetstream.publish(key_subject(bucket, key), b"", headers={"KV-Operation": "DEL"})


async def get(jetstream: JetStream, bucket: str, key: str) -> bytes | None:
    stored = await jetstream.get_last(f"KV_{bucket}", key_subject(bucket, key))
    return None if stored is None or is_deleted(stored) else stored.data


async def entries(jetstream: JetStream, bucket: str) -> dict[str, bytes]:
    # Not by a wildcard, which may match a thousand subjects at most: what was deleted leaves its marker for ever.
    subjects = await jetstream.subjects(f"KV_{bucket}", f"$KV.{bucket}.>")
    found = await jetstream.get_all_last(f"KV_{bucket}", list(subjects))
    return {key_of(stored.subject): stored.data for stored in found if not is_deleted(stored)}
