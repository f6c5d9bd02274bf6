"""Child processes: none outlives us, a dead one is started again, stopping is in order and bounded."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

FIRST_RESTART_S = 0.5
LONGEST_RESTART_S = 15.0
DOUBLINGS = 10
"""More than lead to the longest delay; some thousand would be no float any more."""
STEADY_S = 30.0
"""A child that ran so long was well: its next death counts as the first."""
LOG_TAIL_LINES = 6

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass(frozen=True, slots=True)
class Command:
    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    log: Path
    drain_s: float
    """How long it may finish its work after SIGTERM."""


def restart_delay_s(deaths: int) -> float:
    """deaths: in a row, this one included."""
    return min(LONGEST_RESTART_S, FIRST_RESTART_S * 2.0 ** min(deaths - 1, DOUBLINGS))


def describe_exit(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def log_tail(log: Path) -> list[str]:
    try:
        with log.open(errors="replace") as file:
            return [line.rstrip() for line in deque(file, LOG_TAIL_LINES)]
    except OSError:
        return []


class Child:
    """One supervised process in a process group of its own, so that a Ctrl-C reaches us and not it.

    tell: takes one line for the person at the terminal.
    """

    def __init__(self, command: Command, tell: Callable[[str], None]) -> None:
        self.command = command
        self.deaths_in_a_row = 0
        self.last_exit = 0
        self._tell = tell
        self._process: asyncio.subprocess.Process | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._stopping = False
        self._restart_because = ""

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> None:
        await self._spawn()
        self._supervisor = asyncio.create_task(self._supervise(), name=f"supervise {self.command.name}")

    async def _spawn(self) -> None:
        with self.command.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.command.argv,
                env=dict(self.command.env),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_dies_with(os.getpid()),
            )

    async def _supervise(self) -> None:
        loop = asyncio.get_running_loop()
        while self._process and not self._stopping:
            started = loop.time()
            code = await self._process.wait()
            self._kill_group()
            if self._stopping:
                return
            if self._restart_because:
                self._tell(self._restart_because)
                self._restart_because = ""
                await self._spawn_again()
                continue
            self.last_exit = code
            self.deaths_in_a_row = 1 if loop.time() - started > STEADY_S else self.deaths_in_a_row + 1
            delay_s = restart_delay_s(self.deaths_in_a_row)
            self._tell(f"{self.command.name} {describe_exit(code)}; starting it again in {delay_s:g} s")
            await asyncio.sleep(delay_s)
            await self._spawn_again()

    async def _spawn_again(self) -> None:
        while not self._stopping:
            try:
                await self._spawn()
            except OSError as error:  # no memory, no process left to have
                self._tell(f"{self.command.name} cannot be started: {error.strerror}; trying again")
                await asyncio.sleep(LONGEST_RESTART_S)
            else:
                return

    async def restart(self, because: str) -> None:
        """Ends it and starts it again at once, which is no death. because: the line that is told."""
        if self.pid is None:  # it is being started again anyway
            return
        self._restart_because = because
        if not await self._drained():
            self._kill_group()

    async def stop(self) -> None:
        """SIGTERM, the time to drain, then SIGKILL for what is left of its group."""
        self._stopping = True
        await self._drained()
        await self._end()

    async def _drained(self) -> bool:
        """False: it did not end in time, and is to be killed."""
        if self._process and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            try:
                async with asyncio.timeout(self.command.drain_s):
                    await self._process.wait()
            except TimeoutError:
                self._tell(f"{self.command.name} did not finish within {self.command.drain_s:g} s and is killed")
                return False
        return True

    async def kill(self) -> None:
        self._stopping = True
        await self._end()

    async def _end(self) -> None:
        self._kill_group()
        if self._process:
            await self._process.wait()
        if self._supervisor:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)

    def _kill_group(self) -> None:
        if self._process:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)


def _dies_with(parent_pid: int) -> Callable[[], None]:
    """Run in the child between fork and exec: the kernel kills it when its parent is gone (Linux)."""

    def leash() -> None:
        if _libc is not None:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent_pid:  # the parent died before the leash was on
                os._exit(1)

    return leash
