"""The queue of one machine: nats-server's configuration, one user per role, limits under the disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from whisper_contracts import names
from whisper_dispatcher.jetstream.connection import JetStream
from whisper_dispatcher.jetstream.topology import Limits

Role = Literal["gateway", "planner", "worker", "bot", "admin", "system"]
ROLES: tuple[Role, ...] = get_args(Role)

MIB = 1024**2
RESERVE_BYTES = 512 * MIB
"""Left to the rest of the machine: on a full disk publishes only time out."""
LEAST_STORE_BYTES = 256 * MIB
MEMORY_STORE_BYTES = 256 * MIB
_FULL = Limits()
_FULL_BYTES = _FULL.windows_bytes + _FULL.journal_bytes + _FULL.audio_bytes

_OBJECTS = f"OBJ_{names.AUDIO_BUCKET}"
_CLIENTS = f"KV_{names.CLIENTS_BUCKET}"
_MODELS = f"KV_{names.MODELS_BUCKET}"


class DiskTooFull(Exception):
    pass


def limits_for_disk(free_bytes: int) -> Limits:
    """Stream limits that together take at most 70 % of what is free. Raises DiskTooFull."""
    usable = (free_bytes - RESERVE_BYTES) * 7 // 10
    if usable < LEAST_STORE_BYTES:
        raise DiskTooFull(
            f"The queue needs {(LEAST_STORE_BYTES * 10 // 7 + RESERVE_BYTES) // MIB} MB of free disk, and there are "
            f"{free_bytes // MIB} MB. Free some, or choose a folder on another disk with --data."
        )
    share = min(1.0, usable / _FULL_BYTES)
    return Limits(
        windows_bytes=int(_FULL.windows_bytes * share),
        journal_bytes=int(_FULL.journal_bytes * share),
        audio_bytes=int(_FULL.audio_bytes * share),
    )


def file_store_bytes(limits: Limits) -> int:
    """What the server may fill: the streams with a limit, and a tenth for those that hold small messages."""
    return (limits.windows_bytes + limits.journal_bytes + limits.audio_bytes) * 11 // 10


def server_config(
    *, port: int, store: Path, limits: Limits, passwords: Mapping[Role, str], models: tuple[str, ...]
) -> str:
    """nats-server reads JSON as its own configuration language."""
    users = [
        {"user": role, "password": passwords[role], "permissions": permissions(role, models)}
        for role in ROLES
        if role != "system"
    ]
    config = {
        "server_name": "whisperfleet",
        "listen": f"127.0.0.1:{port}",
        "jetstream": {
            "store_dir": str(store),
            "max_file_store": file_store_bytes(limits),
            "max_memory_store": MEMORY_STORE_BYTES,
            # An accepted job is on disk before its client hears of it; the default flushes every two minutes.
            "sync_interval": "always",
        },
        "accounts": {
            "SPEECH": {"jetstream": "enabled", "users": users},
            "SYSTEM": {"users": [{"user": "system", "password": passwords["system"]}]},
        },
        "system_account": "SYSTEM",
    }
    return json.dumps(config, indent=2) + "\n"


def permissions(role: Role, models: tuple[str, ...]) -> dict[str, Any]:
    """Subjects that a role may publish and subscribe. models: whose queues a worker may pull."""
    publish, subscribe = {
        "gateway": (_GATEWAY, ()),
        "planner": (_PLANNER, ()),
        "worker": (_worker_subjects(models), (names.CANCEL_SUBJECTS,)),
        "bot": (_BOT, ()),
        "admin": ((">",), (">",)),
        "system": ((), ()),
    }[role]
    # An inbox of its own: whoever may listen on another role's inbox reads the audio that arrives there.
    inbox = f"_INBOX_{role}.>"
    return {
        "publish": {"allow": list(publish)},
        "subscribe": {"allow": [inbox, *subscribe]},
    }


def _reading(stream: str) -> tuple[str, ...]:
    return (
        f"$JS.API.STREAM.INFO.{stream}",
        f"$JS.API.DIRECT.GET.{stream}",
        f"$JS.API.DIRECT.GET.{stream}.>",
        f"$JS.API.CONSUMER.CREATE.{stream}",
        f"$JS.API.CONSUMER.CREATE.{stream}.>",
        f"$JS.API.CONSUMER.DELETE.{stream}.*",
        f"$JS.FC.{stream}.>",
    )


def _looking(stream: str) -> tuple[str, ...]:
    """How much waits, not what."""
    return (f"$JS.API.STREAM.INFO.{stream}", f"$JS.API.CONSUMER.INFO.{stream}.*")


def _purging(*streams: str) -> tuple[str, ...]:
    return tuple(f"$JS.API.STREAM.PURGE.{stream}" for stream in streams)


def _pulling(stream: str, consumer: str) -> tuple[str, ...]:
    return (f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}", f"$JS.ACK.{stream}.{consumer}.>")


_BOTH = (
    *_reading(names.JOURNAL_STREAM),
    *_reading(_CLIENTS),
    *_reading(_MODELS),
    *_reading(_OBJECTS),
    f"$O.{names.AUDIO_BUCKET}.>",
    *_looking(names.PLAN_STREAM),
    *_looking(names.WINDOWS_STREAM),
    *_looking(names.HOOKS_STREAM),
    *_purging(names.JOURNAL_STREAM, names.PLAN_STREAM, names.WINDOWS_STREAM, names.HOOKS_STREAM, _OBJECTS),
    names.PLAN_SUBJECTS,
    names.HOOKS_SUBJECTS,
    names.UPLOAD_SUBJECTS,
    names.CANCEL_SUBJECTS,
    "whisper.jobs.*.*.state",
)
_GATEWAY = (*_BOTH, names.AUDIO_SUBJECTS, "whisper.jobs.*.*.record")
_PLANNER = (
    *_BOTH,
    *_pulling(names.PLAN_STREAM, "*"),
    *_pulling(names.HOOKS_STREAM, "*"),
    names.WINDOWS_SUBJECTS,
    names.DEAD_SUBJECTS,
    "whisper.jobs.*.*.plan",
    "whisper.jobs.*.*.window.*",  # of a silent window the planner writes the empty result itself
)

# The bot reaches jobs through the gateway alone; its own two streams it makes itself.
_BOT = (
    "telegram.>",
    *(f"$JS.API.STREAM.{verb}.{stream}" for verb in ("CREATE", "INFO") for stream in ("TELEGRAM", "TELEGRAM_UPDATES")),
    "$JS.API.CONSUMER.DURABLE.CREATE.TELEGRAM_UPDATES.bot",
    *_pulling("TELEGRAM_UPDATES", "bot"),
    "$JS.API.DIRECT.GET.TELEGRAM",
    "$JS.API.DIRECT.GET.TELEGRAM.>",
    *_purging("TELEGRAM"),
)


def _worker_subjects(models: tuple[str, ...]) -> tuple[str, ...]:
    """Its own queue in, its own results out; of the journal, only what tells how often a window has failed."""
    journal = names.JOURNAL_STREAM
    own = (names.windows_consumer(model, class_) for model in models for class_ in names.CLASSES)
    queues = (subject for consumer in own for subject in _pulling(names.WINDOWS_STREAM, consumer))
    kinds = ("window", "attempt", "failure")
    return (
        *queues,
        *(f"whisper.jobs.*.*.{kind}.*" for kind in kinds),
        f"$JS.API.STREAM.INFO.{journal}",
        *(f"$JS.API.DIRECT.GET.{journal}.whisper.jobs.*.*.{kind}.*" for kind in kinds),
        f"$JS.API.DIRECT.GET.{journal}.whisper.jobs.*.*.state",
    )


async def syncs_every_write(url: str, password: str) -> bool:
    """Asks the running server, as its system user, whether what it acknowledges is on disk."""
    system = await JetStream.connect(url, name="whisperfleet system", user="system", password=password)
    try:
        reply = await system.client.request("$SYS.REQ.SERVER.PING.JSZ", b"{}", timeout=5)
        return bool(json.loads(reply.data)["data"]["config"].get("sync_always"))
    finally:
        await system.close()
