"""The one place that knows kopf: it starts and ends the process, and that is all it is used for."""

from __future__ import annotations

import asyncio
import signal
import socket
from contextlib import AsyncExitStack
from typing import Any

import kopf
import structlog

from whisper_dispatcher import probes
from whisper_operator.access import Access
from whisper_operator.cluster import connect
from whisper_operator.runner import Runner
from whisper_operator.settings import OperatorSettings

log = structlog.get_logger()

STALLED_AFTER_S = 120.0


def run(access: Access, settings: OperatorSettings) -> bool:
    """Until SIGTERM or SIGINT, or until something has failed for good, which is what it returns."""
    handlers = _Handlers(access, settings)
    # kopf would ask for the name of the user, and in a pod the user has none.
    identity: Any = socket.gethostname()
    kopf.run(
        registry=handlers.registry(),
        standalone=True,
        identity=identity,
        clusterwide=settings.namespace is None,
        namespaces=[settings.namespace] if settings.namespace else [],
        stop_flag=handlers.ended,
    )
    return handlers.has_failed


class _Handlers:
    def __init__(self, access: Access, settings: OperatorSettings) -> None:
        self._access = access
        self._settings = settings
        self._running: asyncio.Task[None] | None = None
        self._stack = AsyncExitStack()
        self.ended = asyncio.Event()
        self.has_failed = False

    def registry(self) -> kopf.OperatorRegistry:
        """None for objects: after a watch that broke, kopf does not tell what is gone. The Runner's informers do."""
        found = kopf.OperatorRegistry()
        kopf.on.login(registry=found)(kopf.login_via_client)
        kopf.on.startup(registry=found)(self._start)
        kopf.on.cleanup(registry=found)(self._stop)
        return found

    async def _start(self, settings: kopf.OperatorSettings, **_: Any) -> None:
        _configure(settings)
        cluster = await self._stack.enter_async_context(connect(self._access))
        runner = Runner(cluster, self._settings)
        self._running = asyncio.create_task(runner.run())
        self._running.add_done_callback(self._note_end)
        listener = await probes.serve(
            self._settings.probe_host,
            self._settings.probe_port,
            healthy=lambda: runner.stall(STALLED_AFTER_S),
            ready=runner.waits_for,
        )
        self._stack.callback(listener.close)
        # After kopf's own, which would take seconds until its cleanup: the next operator is waiting.
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._told_to_stop)

    def _told_to_stop(self) -> None:
        if self._running and not self._running.cancelling():
            self._running.cancel()
        self.ended.set()

    def _note_end(self, running: asyncio.Task[None]) -> None:
        if running.cancelled():
            return
        self.has_failed = True
        log.error("the operator stops", error=repr(running.exception()))
        self.ended.set()

    async def _stop(self, **_: Any) -> None:
        if self._running:
            # Not twice: it is giving its Lease back.
            if not self._running.cancelling():
                self._running.cancel()
            await asyncio.wait({self._running})
        await self._stack.aclose()


def _configure(settings: kopf.OperatorSettings) -> None:
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.networking.error_backoffs = (0.2, 0.5, 1, 2)
