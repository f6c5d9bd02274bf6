"""Waiting for a job's text: until it is there, the client's limit, the client's leaving, or the end of this process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from contextlib import suppress
from typing import Any

from starlette.requests import ClientDisconnect, Request

from whisper_dispatcher.gateway import errors
from whisper_dispatcher.gateway.gateway import Gateway
from whisper_dispatcher.jetstream.connection import JetStream
from whisper_dispatcher.jetstream.errors import QueueUnavailable
from whisper_dispatcher.jobs import journal
from whisper_dispatcher.jobs.index import JobView
from whisper_dispatcher.transcript.merge import Transcript, merge

READ_TRIES = 20
READ_AGAIN_S = 0.5


async def wait_final(gateway: Gateway, request: Request, job: str, wait_s: float) -> JobView | None:
    """The final job, or None after the limit. The job runs on when its client leaves (raises ClientDisconnect)."""
    view = gateway.index.get(job)
    if (view and view.is_final) or wait_s <= 0:
        return view if view and view.is_final else None
    found = asyncio.ensure_future(gateway.index.wait_final(job, wait_s))
    gone = asyncio.create_task(_until_gone(request))
    drained = asyncio.create_task(_after(gateway.draining.wait(), gateway.settings.drain_wait_s))
    try:
        await asyncio.wait((found, gone, drained), return_when=asyncio.FIRST_COMPLETED)
        if found.done():
            return found.result()
        if gone.done():
            raise ClientDisconnect
        return None
    finally:
        await _cancel(found, gone, drained)


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _after(event: Coroutine[Any, Any, Any], delay_s: float) -> None:
    await event
    await asyncio.sleep(delay_s)


async def _cancel(*futures: asyncio.Future[Any]) -> None:
    for future in futures:
        if not future.done():
            future.cancel()
            with suppress(asyncio.CancelledError):
                await future


async def transcript_of(jetstream: JetStream, view: JobView) -> Transcript:
    """Of a completed job; lives through a short absence of NATS. Raises 404 when it was erased meanwhile."""
    for attempt in range(READ_TRIES):
        try:
            return await _read_transcript(jetstream, view)
        except QueueUnavailable:
            if attempt == READ_TRIES - 1:
                raise
            await asyncio.sleep(READ_AGAIN_S)
    raise AssertionError("the last try returns or raises")


async def _read_transcript(jetstream: JetStream, view: JobView) -> Transcript:
    indexes = list(range(view.total or 0))
    results_read: Awaitable[Any] = journal.read_results(jetstream, view.client, view.job, indexes)
    plan, results = await asyncio.gather(journal.read_plan(jetstream, view.client, view.job), results_read)
    if plan is None or len(results) < len(plan.windows):
        raise errors.job_not_found(view.job)
    return merge(plan, results)
