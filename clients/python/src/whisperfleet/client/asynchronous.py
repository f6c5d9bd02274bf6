"""The client for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from typing import Generic, Self, Unpack

import httpx

from whisperfleet.client import wire
from whisperfleet.client.blocking import OnEvent, OnPause, OnSent
from whisperfleet.client.calls import Calls
from whisperfleet.client.following import deadline_after
from whisperfleet.client.results import DeadLetter, Event, Format, Job, JobPage, Model, Transcript
from whisperfleet.client.steps import Answer, Deliver, Done, Lost, Pause, Procedure, ReadStream, Reply, Request, T
from whisperfleet.client.uploads import Audio, Options


class AsyncClient:
    """May be used by several tasks at once. Close it, or use it in an `async with`.

    url, key: else WHISPERFLEET_URL and WHISPERFLEET_API_KEY. patience_s: how long a gateway that is away or busy
    is asked again before the problem is raised. on_pause: told before each such wait; what it raises ends the call.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        patience_s: float = wire.PATIENCE_S,
        on_pause: OnPause | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = httpx.AsyncClient(transport=transport, **wire.client_options(url, key))
        self._calls = Calls(patience_s)
        self._on_pause = on_pause

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._http.aclose()

    async def transcribe(
        self,
        audio: Audio,
        *,
        timeout_s: float | None = None,
        on_event: OnEvent | None = None,
        on_sent: OnSent | None = None,
        **options: Unpack[Options],
    ) -> Transcript:
        """Submit and wait. Raises JobFailed, and StillRunning after timeout_s."""
        deadline = deadline_after(timeout_s)
        return await self._run(self._calls.transcribe(audio, options, deadline, on_sent), on_event)

    async def submit(
        self,
        audio: Audio,
        *,
        idempotency_key: str | None = None,
        on_sent: OnSent | None = None,
        **options: Unpack[Options],
    ) -> Job:
        """Returns once the job is accepted: on disk. An idempotency_key of your own lets a later call find it."""
        return await self._run(self._calls.submit(audio, options, idempotency_key, on_sent))

    async def wait(self, job: str, *, timeout_s: float | None = None, on_event: OnEvent | None = None) -> Transcript:
        """Survives restarts of the gateway. Raises JobFailed, and StillRunning after timeout_s."""
        return await self._run(self._calls.wait(job, deadline_after(timeout_s)), on_event)

    async def events(self, job: str, *, after: int = 0, timeout_s: float | None = None) -> AsyncIterator[Event]:
        """Each event once, until the job is over. after: the id of the last one that is known."""
        async with aclosing(
            _Conversation(self._http, self._calls.events(job, after, deadline_after(timeout_s)), self._pause)
        ) as on:
            while isinstance(event := await on.advance(), Event):
                yield event

    async def job(self, job: str) -> Job:
        return await self._run(self._calls.job(job))

    async def jobs(self, *, limit: int = 20, after: str | None = None) -> JobPage:
        """Own jobs, newest first. after: the id of the last job of the page before."""
        return await self._run(self._calls.jobs(limit, after))

    async def transcript(self, job: str) -> Transcript:
        """Of a completed job. Raises Conflict while it runs."""
        return await self._run(self._calls.transcript(job))

    async def result(self, job: str, format: Format = "text") -> str:  # noqa: A002  the API's word
        """A completed job's transcript as the gateway renders it."""
        return await self._run(self._calls.result(job, format))

    async def cancel(self, job: str) -> Job:
        """A running window really stops. A job that is over stays as it is."""
        return await self._run(self._calls.cancel(job))

    async def delete(self, job: str) -> None:
        """Cancels the job if it runs, and erases audio and text. Raises StillRunning when it could only be cancelled."""
        await self._run(self._calls.delete(job))

    async def requeue(self, job: str) -> Job:
        """Tries a failed job again; windows that have their text keep it."""
        return await self._run(self._calls.requeue(job))

    async def models(self) -> tuple[Model, ...]:
        return await self._run(self._calls.models())

    async def dead_letters(self, *, limit: int = 100) -> tuple[DeadLetter, ...]:
        return await self._run(self._calls.dead_letters(limit))

    async def _run(self, procedure: Procedure[T], on_event: OnEvent | None = None) -> T:
        async with aclosing(_Conversation(self._http, procedure, self._pause)) as on:
            while isinstance(found := await on.advance(), Event):
                if on_event:
                    on_event(found)
            return found.value

    async def _pause(self, pause: Pause) -> None:
        if self._on_pause:
            self._on_pause(pause)
        await asyncio.sleep(pause.delay_s)


async def _off_loop(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Files are read in a thread, so that a slow disk stops nobody else."""
    while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
        yield chunk


class _Conversation(Generic[T]):
    """Carries out one procedure, with at most one stream open."""

    def __init__(
        self, http: httpx.AsyncClient, procedure: Procedure[T], pause: Callable[[Pause], Awaitable[None]]
    ) -> None:
        self._http = http
        self._procedure = procedure
        self._pause = pause
        self._reply: Reply = None
        self._stream: httpx.Response | None = None
        self._pieces: AsyncIterator[bytes] | None = None

    async def advance(self) -> Event | Done[T]:
        """Up to the next event, or the end."""
        while True:
            try:
                step = self._procedure.send(self._reply)
            except StopIteration as end:
                return Done(end.value)
            self._reply = None
            match step:
                case Deliver(event):
                    return event
                case Pause():
                    await self._pause(step)
                case ReadStream():
                    self._reply = await self._read_stream()
                case Request():
                    self._reply = await self._send(step)

    async def aclose(self) -> None:
        self._procedure.close()
        await self._close_stream()

    async def _send(self, request: Request) -> Answer | Lost:
        await self._close_stream()
        content = _off_loop(request.upload.chunks()) if request.upload else None
        built = self._http.build_request(**wire.build_arguments(request), content=content)
        try:
            response = await self._http.send(built, stream=True)
            if request.is_stream and response.is_success:
                self._stream, self._pieces = response, response.aiter_bytes()
                return wire.answer(response, b"")
            async with aclosing(response):
                return wire.answer(response, await response.aread())
        except httpx.TransportError as error:
            return wire.lost(error, self._http.base_url)

    async def _read_stream(self) -> bytes | Lost | None:
        try:
            return await anext(self._pieces, None) if self._pieces else None
        except httpx.TransportError as error:
            return wire.lost(error, self._http.base_url)

    async def _close_stream(self) -> None:
        if self._stream:
            await self._stream.aclose()
            self._stream = None
