"""`stream=true`: the text as OpenAI's events, window after window."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from whisper_contracts.messages import Plan, WindowResult
from whisper_dispatcher.gateway import errors, sse
from whisper_dispatcher.gateway.gateway import Gateway
from whisper_dispatcher.gateway.job_view import still_running
from whisper_dispatcher.gateway.transcripts import merged, transcript_of
from whisper_dispatcher.gateway.waiting import race
from whisper_dispatcher.jetstream.errors import QueueUnavailable
from whisper_dispatcher.jetstream.streams import JetStream
from whisper_dispatcher.jobs import journal
from whisper_dispatcher.jobs.index import JobView
from whisper_dispatcher.transcript.merge import ready_prefix
from whisper_dispatcher.transcript.render import as_json


class SpokenSoFar:
    """The text of the leading windows that are done; reads each result once."""

    def __init__(self, jetstream: JetStream) -> None:
        self._jetstream = jetstream
        self._plan: Plan | None = None
        self._results: dict[int, WindowResult] = {}
        self.text = ""

    async def advance(self, view: JobView) -> str:
        """What is new since the last call. Keeps what it has when NATS is away."""
        if view.total is None:
            return ""
        try:
            self._plan = self._plan or await journal.read_plan(self._jetstream, view.client, view.job)
            missing = sorted(view.done - self._results.keys())
            self._results |= await journal.read_results(self._jetstream, view, missing)
        except QueueUnavailable:
            return ""
        return await self._new_text() if self._plan else ""

    async def _new_text(self) -> str:
        assert self._plan
        ready = ready_prefix(self._plan, self._results)
        text = (await merged(self._plan, {index: self._results[index] for index in range(ready)})).text
        addition, self.text = text[len(self.text) :], text
        return addition


async def text_events(gateway: Gateway, job: str, revoked: asyncio.Event) -> AsyncIterator[str]:
    spoken = SpokenSoFar(gateway.jetstream)
    view: JobView | None = None
    with gateway.index.watch(job) as changed:
        while True:
            changed.clear()
            view = gateway.index.get(job) or view  # an erased one is marked so
            if view and (addition := await spoken.advance(view)):
                yield sse.data_line({"type": "transcript.text.delta", "delta": addition})
            if view and view.is_final:
                break
            first = await race(
                changed.wait(), gateway.drained.wait(), revoked.wait(), limit_s=gateway.settings.keep_alive_s
            )
            if first == 1:
                yield sse.data_line(still_running(job, draining=True).body())
                return
            if revoked.is_set():
                yield sse.data_line(errors.bad_key("The API key was revoked").body())
                return
            if first is None:
                yield sse.KEEP_ALIVE
    async for event in _ending(gateway, view, spoken):
        yield event


async def _ending(gateway: Gateway, view: JobView, spoken: SpokenSoFar) -> AsyncIterator[str]:
    if view.name != "completed":
        yield sse.data_line(errors.job_failed(view).body())
        return
    try:
        transcript = await transcript_of(gateway.jetstream, view)
    except (QueueUnavailable, errors.ApiError):
        yield sse.data_line(errors.unavailable().body())
        return
    if rest := transcript.text[len(spoken.text) :]:
        yield sse.data_line({"type": "transcript.text.delta", "delta": rest})
    yield sse.data_line({"type": "transcript.text.done"} | as_json(transcript))
    yield sse.DONE
