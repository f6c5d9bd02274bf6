"""How the four kinds of child are started: arguments and environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from whisper_dispatcher.jetstream.permissions import Role
from whisper_dispatcher.local.data_folder import DataFolder
from whisper_dispatcher.local.processes import Command
from whisper_dispatcher.loopback import HOST
from whisper_dispatcher.settings import PREFIX

NATS_DRAIN_S = 10.0
GATEWAY_DRAIN_S = 20.0
PLANNER_DRAIN_S = 20.0
WORKER_DRAIN_S = 60.0
BOT_DRAIN_S = 15.0
TOKEN_VARIABLE = "TELEGRAM_BOT_TOKEN"  # noqa: S105  a variable's name


@dataclass(frozen=True, slots=True)
class Ports:
    nats: int
    http: int
    planner_probe: int
    worker_probe: int


@dataclass(frozen=True, slots=True)
class Speech:
    """What the worker serves and with what."""

    model: str
    """Canonical name."""
    model_path: Path
    whisper_server: Path
    servers: int


@dataclass(frozen=True, slots=True)
class Access:
    nats_url: str
    passwords: Mapping[Role, str]


def threads_per_server(cores: int, servers: int) -> int:
    return max(1, cores // servers)


def nats_command(folder: DataFolder, binary: Path) -> Command:
    return Command(
        name="nats-server",
        argv=(str(binary), "--config", str(folder.nats_config)),
        env=_inherited(os.environ),
        log=folder.logs / "nats-server.log",
        drain_s=NATS_DRAIN_S,
    )


def gateway_command(folder: DataFolder, access: Access, ports: Ports) -> Command:
    own = {"HOST": HOST, "PORT": str(ports.http)}
    return _python("gateway", folder, access, own, GATEWAY_DRAIN_S)


def planner_command(folder: DataFolder, access: Access, ports: Ports) -> Command:
    own = {"WORK_DIR": str(folder.work), "PROBE_PORT": str(ports.planner_probe)}
    return _python("planner", folder, access, own, PLANNER_DRAIN_S)


def worker_command(folder: DataFolder, access: Access, ports: Ports, speech: Speech) -> Command:
    own = {
        "MODEL": speech.model,
        "MODEL_PATH": str(speech.model_path),
        "MODEL_VERIFIED": "true",
        "WHISPER_SERVER": str(speech.whisper_server),
        "SLOTS": str(speech.servers),
        "THREADS": str(threads_per_server(os.cpu_count() or 1, speech.servers)),
        "PROBE_PORT": str(ports.worker_probe),
    }
    return _python("worker", folder, access, own, WORKER_DRAIN_S)


def bot_command(folder: DataFolder, access: Access, ports: Ports, api_key: str) -> Command:
    own = {"URL": f"http://{HOST}:{ports.http}", "API_KEY": api_key, "WORK_DIR": str(folder.work)}
    command = _python("bot", folder, access, own, BOT_DRAIN_S, module="whisper_bot")
    return replace(command, env={**command.env, TOKEN_VARIABLE: os.environ.get(TOKEN_VARIABLE, "")})


def _python(
    role: Role, folder: DataFolder, access: Access, own: dict[str, str], drain_s: float, *, module: str = ""
) -> Command:
    nats = {"NATS_URL": access.nats_url, "NATS_USER": role, "NATS_PASSWORD": access.passwords[role]}
    return Command(
        name=role,
        argv=(sys.executable, "-m", module or f"whisper_dispatcher.{role}"),
        env=_inherited(os.environ) | {PREFIX + name: value for name, value in (nats | own).items()},
        log=folder.logs / f"{role}.log",
        drain_s=drain_s,
    )


def _inherited(environment: Mapping[str, str]) -> dict[str, str]:
    """The user's own settings stay, except how to reach another NATS and another gateway's key.

    The bot's token is for the bot alone.
    """
    void = (PREFIX + "NATS_", PREFIX + "API_KEY", PREFIX + "URL", TOKEN_VARIABLE)
    return {name: value for name, value in environment.items() if not name.startswith(void)}
