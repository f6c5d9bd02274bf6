"""What the bot keeps in JetStream: the updates that are still to be answered, and its records.

An update stays in its work stream until its answer is in Telegram. Records are written with
compare-and-set, so that a second bot, an old one that is still dying or a repeat cannot undo what was done.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from whisper_bot.records import ChatSettings, Note, Update, Usage
from whisper_contracts.messages import Message
from whisper_dispatcher.jetstream.errors import QueueRefused
from whisper_dispatcher.jetstream.streams import JetStream
from whisper_dispatcher.jetstream.topology import DUPLICATE_WINDOW_S, NANOSECONDS, work_consumer

UPDATES_STREAM = "TELEGRAM_UPDATES"
RECORDS_STREAM = "TELEGRAM"
CONSUMER = "bot"
UPDATES_SUBJECTS = "telegram.updates.>"
RECORDS_SUBJECTS = ("telegram.notes.>", "telegram.chats.>", "telegram.usage.>")

UPDATES_ACK_WAIT_S = 15
"""A bot that died is noticed after this; a living one says `in progress` more often."""
MAX_UPDATES = 1_000_000
MAX_RECORDS = 5_000_000
"""Some hundred bytes each. Not a limit in bytes: JetStream would set those aside on the disk."""
USAGE_TTL_S = 2 * 24 * 3600

R = TypeVar("R", bound=Message)


@dataclass(frozen=True, slots=True)
class Kept(Generic[R]):
    """A record and the sequence that a change of it must name. 0 = there is none yet."""

    record: R
    sequence: int = 0


def stream_configs(replicas: int) -> list[dict[str, Any]]:
    kept = {"storage": "file", "discard": "new", "num_replicas": replicas}
    return [
        kept
        | {
            "name": UPDATES_STREAM,
            "subjects": [UPDATES_SUBJECTS],
            "retention": "workqueue",
            "max_msgs": MAX_UPDATES,
            "duplicate_window": DUPLICATE_WINDOW_S * NANOSECONDS,
        },
        kept
        | {
            "name": RECORDS_STREAM,
            "subjects": list(RECORDS_SUBJECTS),
            "retention": "limits",
            "max_msgs_per_subject": 1,
            "max_msgs": MAX_RECORDS,
            "allow_direct": True,
            "allow_msg_ttl": True,
        },
    ]


async def ensure_streams(jetstream: JetStream, replicas: int = 1) -> None:
    """Raises QueueRefused."""
    for config in stream_configs(replicas):
        name = config["name"]
        error = (await jetstream.api(f"STREAM.CREATE.{name}", config)).get("error")
        if error and (await jetstream.api(f"STREAM.INFO.{name}")).get("error"):
            raise QueueRefused(f"stream {name}", error)
    consumer = work_consumer(CONSUMER, UPDATES_SUBJECTS, UPDATES_ACK_WAIT_S)
    body = {"stream_name": UPDATES_STREAM, "config": consumer}
    answer = await jetstream.api(f"CONSUMER.DURABLE.CREATE.{UPDATES_STREAM}.{CONSUMER}", body)
    if error := answer.get("error"):
        raise QueueRefused(f"consumer {CONSUMER} of {UPDATES_STREAM}", error)


def note_subject(key: str) -> str:
    return f"telegram.notes.{key}"


class Store:
    """Raises QueueUnavailable when NATS is away, and WrongLastSequence when a record has changed meanwhile."""

    def __init__(self, jetstream: JetStream, bot_id: int, records_ttl_s: int) -> None:
        self._jetstream = jetstream
        self._bot_id = bot_id
        self._records_ttl_s = records_ttl_s

    async def add_update(self, update: Update) -> None:
        """On disk when this returns; the same update again is dropped."""
        subject = f"telegram.updates.{update.chat}"
        await self._jetstream.publish(
            subject, update.encode(), message_id=f"{self._bot_id}.{update.update_id}", timeout_s=5.0
        )

    async def note(self, key: str) -> Kept[Note] | None:
        return await self._read(Note, note_subject(key))

    async def save_note(self, kept: Kept[Note], **changes: Any) -> Kept[Note]:
        """The note with the changes, as it is stored now. It is kept at least until it has its answer."""
        note = kept.record.model_copy(update=changes)
        ttl_s = self._records_ttl_s if note.outcome else None
        sequence = await self._write(note_subject(note.key), note, kept.sequence, ttl_s)
        return Kept(note, sequence)

    async def chat_settings(self, chat: int) -> Kept[ChatSettings]:
        return await self._read(ChatSettings, f"telegram.chats.{chat}") or Kept(ChatSettings())

    async def save_chat_settings(self, chat: int, settings: ChatSettings, sequence: int) -> None:
        """Kept until the chat deletes them."""
        await self._write(f"telegram.chats.{chat}", settings, sequence, None)

    async def usage(self, user: int, day: str) -> Kept[Usage]:
        return await self._read(Usage, f"telegram.usage.{user}.{day}") or Kept(Usage())

    async def save_usage(self, user: int, day: str, usage: Usage, sequence: int) -> None:
        await self._write(f"telegram.usage.{user}.{day}", usage, sequence, USAGE_TTL_S)

    async def notes_of(self, chat: int) -> list[Kept[Note]]:
        subjects = await self._jetstream.subjects(RECORDS_STREAM, note_subject(f"{chat}.*"))
        found = await self._jetstream.get_all_last(RECORDS_STREAM, sorted(subjects))
        return [Kept(Note.decode(stored.data), stored.sequence) for stored in found]

    async def forget_chat_settings(self, chat: int) -> None:
        await self._jetstream.purge(RECORDS_STREAM, f"telegram.chats.{chat}")

    async def forget_note(self, kept: Kept[Note]) -> Kept[Note] | None:
        """The note that stays because it has changed meanwhile."""
        subject = note_subject(kept.record.key)
        if await self._jetstream.purge(RECORDS_STREAM, subject, before=kept.sequence + 1):
            return None
        return await self.note(kept.record.key)

    async def _read(self, model: type[R], subject: str) -> Kept[R] | None:
        # Of the leader: what a replica has not yet would be an update that nobody need answer.
        stored = await self._jetstream.get_last_of_leader(RECORDS_STREAM, subject)
        return Kept(model.decode(stored.data), stored.sequence) if stored else None

    async def _write(self, subject: str, record: Message, sequence: int, ttl_s: int | None) -> int:
        headers = {"Nats-TTL": f"{ttl_s}s"} if ttl_s else {}
        return await self._jetstream.publish_once(subject, record.encode(), last_sequence=sequence, headers=headers)
