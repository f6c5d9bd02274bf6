"""Keeps the worker's whisper-servers alive, and lends each of them out only while it can be trusted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from whisper_dispatcher.worker.golden import GoldenClip, check_golden_clip
from whisper_dispatcher.worker.server_log import Backend
from whisper_dispatcher.worker.whisper_server import CpuFallback, ServerConfig, ServerFailed, WhisperServer

log = structlog.get_logger()

START_ATTEMPTS = 3
"""So often a server may fail before the first success; then the whole worker gives up, and says why."""
STABLE_AFTER_S = 60.0
MAX_RESTART_DELAY_S = 30.0
CRASH_NOTICE_S = 0.1
READY_EVENT = "whisper-server ready"
"""The operator looks for this log line, and for what it tells of the backend."""
RECHECK_LIMIT_S = 30.0
"""Within this, a server in doubt must be free again and hear its golden clip right."""


def restart_delay_s(failures: int) -> float:
    """failures: how often in a row the server failed soon after its start. The first restart is immediate."""
    if failures <= 0:
        return 0.0
    return min(MAX_RESTART_DELAY_S, 0.5 * 2.0 ** min(failures - 1, 10))


@dataclass(frozen=True, slots=True)
class SlotState:
    """For probes, metrics and people."""

    index: int
    alive: bool
    ready: bool
    busy: bool
    restarts: int
    stage: str
    backend: Backend | None
    pid: int | None
    last_error: str


class Supervisor:
    """To be made inside the running event loop."""

    def __init__(
        self, config: ServerConfig, slots: int, golden: GoldenClip, *, recheck_limit_s: float = RECHECK_LIMIT_S
    ) -> None:
        self._slots = [_Slot(index, config, golden, recheck_limit_s) for index in range(slots)]

    async def start(self) -> None:
        """Returns when every server has heard its golden clip; raises ServerFailed when one never did."""
        for slot in self._slots:
            slot.keeper = asyncio.create_task(slot.keep())
        try:
            await asyncio.gather(*(slot.started for slot in self._slots))
        except BaseException:
            await self.close(0)
            raise

    async def close(self, drain_s: float) -> None:
        await asyncio.gather(*(slot.close(drain_s) for slot in self._slots))

    async def ready(self, index: int) -> WhisperServer:
        """Waits until the slot's server may be used. Ask again after every failure: it may be another one then."""
        return await self._slots[index].wait_ready()

    @asynccontextmanager
    async def slot(self, index: int) -> AsyncIterator[WhisperServer]:
        """The slot's server, for the caller alone."""
        slot = self._slots[index]
        while True:
            await slot.wait_ready()
            async with slot.lock:
                # It may have died while another caller held the lock.
                if server := slot.usable():
                    yield server
                    return

    def states(self) -> tuple[SlotState, ...]:
        return tuple(slot.state() for slot in self._slots)


class _Slot:
    def __init__(self, index: int, config: ServerConfig, golden: GoldenClip, recheck_limit_s: float) -> None:
        self.index = index
        self.keeper: asyncio.Task[None] | None = None
        self.started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ready = asyncio.Event()
        self.lock = asyncio.Lock()
        self._config = config
        self._golden = golden
        self._recheck_limit_s = recheck_limit_s
        self._doubted = asyncio.Event()
        self._server: WhisperServer | None = None
        self._failures = 0
        self._restarts = 0
        self._last_error = ""

    def usable(self) -> WhisperServer | None:
        if self.ready.is_set() and self._server and self._server.is_alive:
            return self._server
        # A death that the keeper has not noticed yet; it sets this again when it has another server.
        self.ready.clear()
        return None

    async def wait_ready(self) -> WhisperServer:
        while True:
            await self.ready.wait()
            if server := self.usable():
                return server

    async def keep(self) -> None:
        while True:
            await asyncio.sleep(restart_delay_s(self._failures))
            self._doubted.clear()
            server = self._server = WhisperServer(self._config, on_doubt=self._doubt)
            began_at = time.monotonic()
            try:
                await self._serve(server)
            # Whatever it is, a slot must never end quietly.
            except Exception as error:
                self.ready.clear()
                await server.stop(0)
                self._note_failure(error, lived_s=time.monotonic() - began_at)
                if not self.started.done() and self._failures >= START_ATTEMPTS:
                    self.started.set_exception(error)
                    return
            self._restarts += 1

    async def close(self, drain_s: float) -> None:
        self.ready.clear()
        if self.keeper:
            self.keeper.cancel()
            await asyncio.wait({self.keeper})
        if self._server:
            await self._server.stop(drain_s)
        self.started.cancel()

    def state(self) -> SlotState:
        server = self._server
        return SlotState(
            index=self.index,
            alive=bool(server and server.is_alive),
            ready=self.ready.is_set(),
            busy=bool(server and server.is_busy),
            restarts=self._restarts,
            stage=server.stage if server else "down",
            backend=server.backend if server else None,
            pid=server.pid if server else None,
            last_error=self._last_error,
        )

    async def _serve(self, server: WhisperServer) -> None:
        """Ends only by raising: the server is dead, or did not dispel a doubt."""
        await server.start()
        self._check_device(server)
        await check_golden_clip(server, self._golden, self._config.start_limit_s)
        self._doubted.clear()
        self.ready.set()
        if not self.started.done():
            self.started.set_result(None)
        assert server.backend
        log.info(READY_EVENT, slot=self.index, pid=server.pid, **server.backend.told())
        exited = asyncio.create_task(server.exited())
        try:
            while True:
                doubted = asyncio.create_task(self._doubted.wait())
                try:
                    await asyncio.wait({exited, doubted}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    doubted.cancel()
                # A crash breaks the connection a moment before the process is gone.
                await asyncio.wait({exited}, timeout=CRASH_NOTICE_S)
                if exited.done():
                    raise ServerFailed(exited.result())
                await self._recheck(server)
        finally:
            exited.cancel()

    def _check_device(self, server: WhisperServer) -> None:
        if self._config.gpu_required and not (server.backend and server.backend.accelerated):
            raise CpuFallback(
                "whisper-server computes on the CPU, and a GPU is required. Check that the image is one for this GPU, "
                "that the node's driver and container runtime hand the device over, and that it has memory left."
            )

    async def _recheck(self, server: WhisperServer) -> None:
        # The caller whose inference failed may still hold the slot.
        async with self.lock:
            await check_golden_clip(server, self._golden, self._recheck_limit_s)
            self._doubted.clear()
            self.ready.set()

    def _doubt(self) -> None:
        self.ready.clear()
        self._doubted.set()

    def _note_failure(self, error: Exception, *, lived_s: float) -> None:
        stable = self.started.done() and lived_s > STABLE_AFTER_S
        self._failures = 0 if stable else self._failures + 1
        self._last_error = str(error) or type(error).__name__
        log.error("whisper-server failed", slot=self.index, failures=self._failures, error=self._last_error)
