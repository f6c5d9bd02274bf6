"""A way to a Service that outlives its pods: kubectl's own ends with the pod that it has chosen."""

from __future__ import annotations

import asyncio
import socket
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.e2e.cluster.cluster import Cluster, program

PAUSE_S = 0.3


@asynccontextmanager
async def kept_forwarding(cluster: Cluster, namespace: str, target: str, port: int) -> AsyncIterator[int]:
    """A port on this machine, the same all the time; nothing answers there between two pods."""
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        own = int(chosen.getsockname()[1])
    command = [program("kubectl"), "--kubeconfig", cluster.kubeconfig, "--namespace", namespace]
    keeping = asyncio.create_task(_keep([str(word) for word in (*command, "port-forward", target, f"{own}:{port}")]))
    try:
        yield own
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def _keep(command: list[str]) -> None:
    while True:
        process = await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL)
        try:
            await process.wait()
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        await asyncio.sleep(PAUSE_S)
