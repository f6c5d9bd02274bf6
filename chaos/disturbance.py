"""Carries the plan out: SIGKILL in turn, and the disk full for a while."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from chaos import processes, queue_disk
from chaos.schedule import ROLES, Role, Step, steps
from whisper_dispatcher.local.pipeline import Pipeline

POLL_S = 0.05
VICTIM_WAIT_S = 20.0


class Disturbance:
    def __init__(self, pipeline: Pipeline, disk: Path, run: str, tell: Callable[[str], None]) -> None:
        self.kills: Counter[Role] = Counter()
        self.disk_full_s = 0.0
        self._pipeline = pipeline
        self._disk = disk
        self._run = run
        self._tell = tell
        self._full_since: float | None = None

    @property
    def is_complete(self) -> bool:
        """Every role was killed at least once, and the disk was full and has space again."""
        return all(self.kills[role] for role in ROLES) and self.disk_full_s > 0 and self._full_since is None

    async def run(self, seed: int, enough: asyncio.Event) -> None:
        """Ends after the step at which there was enough, never with a full disk."""
        try:
            for step in steps(seed):
                if enough.is_set() and self.is_complete:
                    return
                await self._carry_out(step)
        finally:
            self._free_disk()

    async def _carry_out(self, step: Step) -> None:
        await asyncio.sleep(step.pause_s)
        match step.action:
            case "fill-disk":
                self._full_since = time.monotonic()
                written = await asyncio.to_thread(queue_disk.fill, self._disk)
                self._tell(f"disk full after {written / 1e6:.0f} MB more")
            case "free-disk":
                self._free_disk()  # nobody else does anything about it
            case role:
                await self._kill(role)

    def _free_disk(self) -> None:
        if self._full_since is not None:
            queue_disk.free(self._disk)
            self.disk_full_s += time.monotonic() - self._full_since
            self._full_since = None
            self._tell("disk free again")

    async def _kill(self, role: Role) -> None:
        deadline = time.monotonic() + VICTIM_WAIT_S
        while time.monotonic() < deadline:
            if pid := self._pid(role):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    self.kills[role] += 1
                    if role == "whisper-server":
                        self._tell("whisper-server killed")
                    return
            await asyncio.sleep(POLL_S)

    def _pid(self, role: Role) -> int | None:
        if role == "whisper-server":
            servers = processes.whisper_servers(self._run)
            return servers[self.kills[role] % len(servers)].pid if servers else None
        child = next(child for child in self._pipeline.children if child.command.name == role)
        # Ours is no fault of the process, for which it would have to wait longer each time.
        child.deaths_in_a_row = 0
        return child.pid
