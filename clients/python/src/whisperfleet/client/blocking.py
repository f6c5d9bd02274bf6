"""The client for programs without an event loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Generic, Self, Unpack

import httpx

from whisperfleet.client import wire
from whisperfleet.client.calls import Calls
from whisperfleet.client.following import deadline_after
from whisperfleet.client.results import DeadLetter, Event, Format, Job, JobPage, Model, Transcript
from whisperfleet.client.steps import Answer, Deliver, Done, Lost, Pause, Procedure, ReadStream, Reply, Request, T
from whisperfleet.client.uploads import Audio, Options

OnEvent = Callable[[Event], None]
OnSent = Callable[[int], None]
OnPause = Callable[[Pause], None]


class Client:
    """May be used by several threads at once. Close it, or use it in a `with`.

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
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._http = httpx.Client(transport=transport, **wire.client_options(url, key))
        self._calls = Calls(patience_s)
        self._on_pause = on_pause

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def transcribe(
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
        return self._run(self._calls.transcribe(audio, options, deadline, on_sent), on_event)

    def submit(
        self,
        audio: Audio,
        *,
        idempotency_key: str | None = None,
        on_sent: OnSent | None = None,
        **options: Unpack[Options],
    ) -> Job:
        """Returns once the job is accepted: on disk. An idempotency_key of your own lets a later call find it."""
        return self._run(self._calls.submit(audio, options, idempotency_key, on_sent))

    def wait(self, job: str, *, timeout_s: float | None = None, on_event: OnEvent | None = None) -> Transcript:
        """Survives restarts of the gateway. Raises JobFailed, and StillRunning after timeout_s."""
        return self._run(self._calls.wait(job, deadline_after(timeout_s)), on_event)

    def events(self, job: str, *, after: int = 0, timeout_s: float | None = None) -> Iterator[Event]:
        """Each event once, until the job is over. after: the id of the last one that is known."""
        with closing(
            _Conversation(self._http, self._calls.events(job, after, deadline_after(timeout_s)), self._pause)
        ) as on:
            while isinstance(event := on.advance(), Event):
                yield event

    def job(self, job: str) -> Job:
        return self._run(self._calls.job(job))

    def jobs(self, *, limit: int = 20, after: str | None = None) -> JobPage:
        """Own jobs, newest first. after: the id of the last job of the page before."""
        return self._run(self._calls.jobs(limit, after))

    def transcript(self, job: str) -> Transcript:
        """Of a completed job. Raises Conflict while it runs."""
        return self._run(self._calls.transcript(job))

    def result(self, job: str, format: Format = "text") -> str:  # noqa: A002  the API's word
        """A completed job's transcript as the gateway renders it."""
        return self._run(self._calls.result(job, format))

    def cancel(self, job: str) -> Job:
        """A running window really stops. A job that is over stays as it is."""
        return self._run(self._calls.cancel(job))

    def delete(self, job: str) -> None:
        """Cancels the job if it runs, and erases audio and text. Raises StillRunning when it could only be cancelled."""
        self._run(self._calls.delete(job))

    def requeue(self, job: str) -> Job:
        """Tries a failed job again; windows that have their text keep it."""
        return self._run(self._calls.requeue(job))

    def models(self) -> tuple[Model, ...]:
        return self._run(self._calls.models())

    def dead_letters(self, *, limit: int = 100) -> tuple[DeadLetter, ...]:
        return self._run(self._calls.dead_letters(limit))

    def _run(self, procedure: Procedure[T], on_event: OnEvent | None = None) -> T:
        with closing(_Conversation(self._http, procedure, self._pause)) as on:
            while isinstance(found := on.advance(), Event):
                if on_event:
                    on_event(found)
            return found.value

    def _pause(self, pause: Pause) -> None:
        if self._on_pause:
            self._on_pause(pause)
        time.sleep(pause.delay_s)


class _Conversation(Generic[T]):
    """Carries out one procedure, with at most one stream open."""

    def __init__(self, http: httpx.Client, procedure: Procedure[T], pause: OnPause) -> None:
        self._http = http
        self._procedure = procedure
        self._pause = pause
        self._reply: Reply = None
        self._stream: httpx.Response | None = None
        self._pieces: Iterator[bytes] = iter(())

    def advance(self) -> Event | Done[T]:
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
                    self._pause(step)
                case ReadStream():
                    self._reply = self._read_stream()
                case Request():
                    self._reply = self._send(step)

    def close(self) -> None:
        self._procedure.close()
        self._close_stream()

    def _send(self, request: Request) -> Answer | Lost:
        self._close_stream()
        content = request.upload.chunks() if request.upload else None
        built = self._http.build_request(**wire.build_arguments(request), content=content)
        try:
            response = self._http.send(built, stream=True)
            if request.is_stream and response.is_success:
                self._stream, self._pieces = response, response.iter_bytes()
                return wire.answer(response, b"")
            with closing(response):
                return wire.answer(response, response.read())
        except httpx.TransportError as error:
            return wire.lost(error, self._http.base_url)

    def _read_stream(self) -> bytes | Lost | None:
        try:
            return next(self._pieces, None)
        except httpx.TransportError as error:
            return wire.lost(error, self._http.base_url)

    def _close_stream(self) -> None:
        if self._stream:
            self._stream.close()
            self._stream = None
