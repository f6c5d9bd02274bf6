"""The queue of one machine: nats-server's configuration, one user per role, limits under the disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from nats.aio.client import Client

from whisper_dispatcher.jetstream.cancellation import heeding_cancel
from whisper_dispatcher.jetstream.permissions import ROLES, Role, permissions
from whisper_dispatcher.jetstream.streams import JetStream
from whisper_dispatcher.jetstream.topology import Limits

MIB = 1024**2
RESERVE_BYTES = 512 * MIB
"""Left to the rest of the machine: on a full disk publishes only time out."""
LEAST_STORE_BYTES = 256 * MIB
MEMORY_STORE_BYTES = 256 * MIB


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
    return Limits().within(usable * 11 // 10)


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
            "max_file_store": limits.store_bytes,
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


async def write_error(system: Client) -> str:
    """Of a stream that stores nothing more, even when the cause is gone; "" = there is none. Raises TRANSPORT_ERRORS."""
    reply = await heeding_cancel(system.request("$SYS.REQ.SERVER.PING.HEALTHZ", b"{}", timeout=5))
    error = str(json.loads(reply.data)["data"].get("error", ""))
    return error if "write error" in error else ""


async def syncs_every_write(url: str, password: str) -> bool:
    """Asks the running server, as its system user, whether what it acknowledges is on disk."""
    system = await JetStream.connect(url, name="whisperfleet system", user="system", password=password)
    try:
        reply = await system.client.request("$SYS.REQ.SERVER.PING.JSZ", b"{}", timeout=5)
        return bool(json.loads(reply.data)["data"]["config"].get("sync_always"))
    finally:
        await system.close()
