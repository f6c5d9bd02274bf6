"""Transcripts, made from the journal when they are asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from whisper_contracts import names
from whisper_contracts.messages import Plan, WindowResult
from whisper_dispatcher.gateway import errors
from whisper_dispatcher.gateway.feed import JobFeed
from whisper_dispatcher.jetstream.errors import QueueUnavailable
from whisper_dispatcher.jetstream.streams import JetStream
from whisper_dispatcher.jobs import journal
from whisper_dispatcher.jobs.index import JobView
from whisper_dispatcher.transcript.merge import Transcript, merge

READ_TRIES = 20
READ_AGAIN_S = 0.5
MAX_WINDOWS_INLINE = 64
"""A longer recording is merged in a thread, so that nobody else waits for it."""


def transcript_at_hand(feed: JobFeed, view: JobView) -> Transcript | None:
    """Of a job whose plan and results have just come by."""
    plan = feed.recent(names.plan_result_subject(view.client, view.job))
    total = view.total or 0
    if plan is None or total > MAX_WINDOWS_INLINE:
        return None
    results = {}
    for index in range(total):
        result = feed.recent(names.window_result_subject(view.model, view.client, view.job, index))
        if result is None:
            return None
        results[index] = WindowResult.decode(result)
    return merge(Plan.decode(plan), results)


async def transcript_of(jetstream: JetStream, view: JobView) -> Transcript:
    """Of a job that has its text; lives through a short absence of NATS. Raises 404 when it was erased meanwhile."""
    for _ in range(READ_TRIES - 1):
        try:
            return await _read(jetstream, view)
        except QueueUnavailable:
            await asyncio.sleep(READ_AGAIN_S)
    return await _read(jetstream, view)


async def _read(jetstream: JetStream, view: JobView) -> Transcript:
    indexes = list(range(view.total or 0))
    plan, results = await asyncio.gather(
        journal.read_plan(jetstream, view.client, view.job),
        journal.read_results(jetstream, view, indexes),
    )
    if plan is None or len(results) < len(plan.windows):
        if view.has_text:
            # Any replica of NATS answers reads, one that is behind too.
            raise QueueUnavailable(f"the transcript of job {view.job} is not read whole yet")
        raise errors.job_not_found(view.job)
    return await merged(plan, results)


async def merged(plan: Plan, results: Mapping[int, WindowResult]) -> Transcript:
    if len(results) > MAX_WINDOWS_INLINE:
        return await asyncio.to_thread(merge, plan, results)
    return merge(plan, results)
