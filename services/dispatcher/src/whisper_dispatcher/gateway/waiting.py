"""Waiting for a job: until what is wanted, the client's limit, the client's leaving, or the end of this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from starlette.requests import ClientDisconnect, Request

from whisper_dispatcher.gateway.gateway import Gateway
from whisper_dispatcher.jobs.index import JobView


async def wait_text(gateway: Gateway, request: Request, job: str, wait_s: float) -> JobView | None:
    """The job once all its text is on disk or it has failed, or None after the limit.

    A job that is complete becomes `completed` a moment later; nobody needs to wait for that. The job runs on when its
    client leaves (raises ClientDisconnect).
    """
    return await wait_until(gateway, request, job, lambda view: view.is_final or view.has_text, wait_s)


async def wait_until(
    gateway: Gateway, request: Request, job: str, holds: Callable[[JobView], bool], wait_s: float
) -> JobView | None:
    """A job that is erased meanwhile is told as it was marked: `deleted`, which is final."""
    view = gateway.index.get(job)

    async def found() -> None:
        nonlocal view
        with gateway.index.watch(job) as changed:
            while True:
                changed.clear()
                view = gateway.index.get(job) or view
                if view and holds(view):
                    return
                await changed.wait()

    if wait_s > 0 and await race(found(), _until_gone(request), gateway.drained.wait(), limit_s=wait_s) == 1:
        raise ClientDisconnect
    return view if view and holds(view) else None


async def race(*coroutines: Coroutine[Any, Any, object], limit_s: float | None = None) -> int | None:
    """Which of them ended first, None at the limit; the others are cancelled."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        return next((index for index, task in enumerate(tasks) if task in done), None)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
