"""Both clients against real processes."""

from __future__ import annotations

import asyncio
import io
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fleet_harness import TEXT, Fleet, recording

from whisperfleet.client import (
    AsyncClient,
    Client,
    Conflict,
    Event,
    GatewayUnreachable,
    InvalidRequest,
    JobCancelled,
    JobFailed,
    NotAllowed,
    NotFound,
    StillRunning,
)

WAIT_S = 60.0


@pytest.fixture
def client(fleet: Fleet) -> Iterator[Client]:
    with Client(fleet.url, fleet.key) as client:
        yield client


def test_ten_lines_from_a_file_to_its_text(client: Client, tmp_path: Path) -> None:
    path = tmp_path / 'a "note".wav'
    path.write_bytes(recording(2.5))
    sent: list[int] = []
    transcript = client.transcribe(path, language="en", words=True, on_sent=sent.append)
    assert (transcript.text, transcript.language, transcript.duration_s) == (TEXT, "english", 2.5)
    assert [word.word for word in transcript.words] == TEXT.split()
    assert sum(sent) == path.stat().st_size
    job = client.job(transcript.job)
    assert (job.state, job.filename, job.windows.done) == ("completed", "a %22note%22.wav", 1)
    assert client.result(job.id, "srt").startswith("1\n00:00:00,000 --> ")


@pytest.mark.parametrize("kind", ["path", "bytes", "opened", "unseekable"])
def test_audio_comes_from_wherever_it_is(client: Client, tmp_path: Path, kind: str) -> None:
    audio = recording(1.25)
    path = tmp_path / "note.wav"
    path.write_bytes(b"header" + audio)
    with path.open("rb") as opened:
        opened.seek(6)
        source = {"bytes": audio, "opened": opened, "unseekable": Unseekable(audio)}.get(kind, str(path))
        if kind == "path":
            path.write_bytes(audio)
        assert client.transcribe(source).duration_s == 1.25  # type: ignore[arg-type]


class Unseekable(io.BytesIO):
    def seekable(self) -> bool:
        return False


def test_events_tell_the_way_of_a_job_and_go_on_after_any_of_them(client: Client) -> None:
    job = client.submit(recording(70), mode="sequential").id
    events = list(client.events(job, timeout_s=WAIT_S))
    assert events[0].type == "accepted"
    windows = [(event.done, event.total) for event in events if event.type == "window"]
    assert windows[-1] == (len(windows), len(windows)) and len(windows) >= 3
    assert events[-1].type == "completed"
    assert list(client.events(job, after=events[2].id, timeout_s=WAIT_S)) == events[3:]
    assert list(client.events(job, after=events[-1].id, timeout_s=WAIT_S)) == []


def test_a_call_sent_twice_is_one_job(client: Client) -> None:
    first = client.submit(recording(1.5), idempotency_key="order 77")
    assert client.submit(recording(1.5), idempotency_key="order 77").id == first.id
    with pytest.raises(Conflict, match="was used with another file"):
        client.submit(recording(1.75), idempotency_key="order 77")


def test_two_calls_with_the_same_file_are_two_jobs(client: Client) -> None:
    assert client.submit(recording(1.5)).id != client.submit(recording(1.5)).id


def test_own_jobs_and_models_are_listed(client: Client) -> None:
    jobs = [client.submit(recording(1)).id for _ in range(3)]
    page = client.jobs(limit=2)
    assert ([job.id for job in page.data], page.has_more) == ([jobs[2], jobs[1]], True)
    assert client.jobs(limit=1, after=page.data[-1].id).data[0].id == jobs[0]
    assert [model.id for model in client.models()] == ["stub.en"]


def test_refusals_are_exceptions_with_the_apis_sentence(client: Client, fleet: Fleet) -> None:
    with pytest.raises(NotFound, match="There is no job 'none' of this API key") as missing:
        client.job("none")
    assert (missing.value.code, missing.value.status) == ("job_not_found", 404)
    assert missing.value.request_id
    with pytest.raises(InvalidRequest, match="is no language Whisper knows") as wrong:
        client.transcribe(recording(1), language="klingon")
    assert wrong.value.param == "language"
    with Client(fleet.url, "wf_wrong") as stranger, pytest.raises(NotAllowed, match="wrong or was revoked"):
        stranger.jobs()


def test_an_option_that_there_is_not_is_refused_before_anything_is_sent(client: Client) -> None:
    with pytest.raises(TypeError, match="There is no option langage; the options are model, language"):
        client.submit(recording(1), langage="en")  # type: ignore[call-arg]


def test_a_file_that_is_no_audio_fails_with_its_reason(client: Client) -> None:
    with pytest.raises(JobFailed, match=r"The file is text\. Send a recording") as failure:
        client.transcribe(b"no audio at all" * 50, timeout_s=WAIT_S)
    assert (failure.value.reason, failure.value.is_transient) == ("bad_audio", False)
    assert failure.value.job in [letter.job for letter in client.dead_letters()]


def test_a_failed_job_can_be_requeued(client: Client) -> None:
    with pytest.raises(JobFailed) as failure:
        client.transcribe(b"still no audio" * 50, timeout_s=WAIT_S)
    assert client.requeue(failure.value.job).id == failure.value.job
    with pytest.raises(JobFailed):
        client.wait(failure.value.job, timeout_s=WAIT_S)


def test_a_cancelled_job_stops_and_its_waiter_is_told(client: Client) -> None:
    job = client.submit(recording(900), mode="sequential").id

    def cancel(event: Event) -> None:
        if event.type == "window" and event.done == 1:
            client.cancel(job)

    with pytest.raises(JobCancelled, match="cancelled"):
        client.wait(job, timeout_s=WAIT_S, on_event=cancel)
    assert client.cancel(job).state == "cancelled"
    client.delete(job)
    with pytest.raises(NotFound):
        client.job(job)


def test_a_wait_ends_at_its_limit_and_the_job_goes_on(client: Client, fleet: Fleet) -> None:
    with fleet.halted("worker"):
        job = client.submit(recording(200), mode="sequential").id
        with pytest.raises(StillRunning, match=f"Job {job} is still under way"):
            client.wait(job, timeout_s=0.2)
    assert client.wait(job, timeout_s=WAIT_S).duration_s == 200


def test_a_wait_survives_a_kill_of_the_gateway(fleet: Fleet) -> None:
    problems: list[str] = []
    events: list[Event] = []

    def watch(event: Event) -> None:
        events.append(event)
        if event.type == "window" and event.done == 1:
            fleet.kill("gateway")

    with Client(fleet.url, fleet.key, on_pause=lambda pause: problems.append(str(pause.because))) as client:
        job = client.submit(recording(100), mode="sequential").id
        assert client.wait(job, timeout_s=WAIT_S, on_event=watch).duration_s == 100
    assert problems
    ids = [event.id for event in events]
    assert ids == sorted(set(ids))
    done = [event.done for event in events if event.type == "window"]
    assert done == list(range(1, len(done) + 1)) and len(done) >= 4


async def test_many_tasks_wait_through_a_kill_of_the_gateway(fleet: Fleet) -> None:
    before = len(fleet.jobs())
    async with AsyncClient(fleet.url, fleet.key) as client:
        asyncio.get_running_loop().call_later(0.15, fleet.kill, "gateway")
        transcripts = await asyncio.gather(
            *(client.transcribe(recording(1 + i / 100), timeout_s=WAIT_S) for i in range(30))
        )
    assert [round(transcript.duration_s, 2) for transcript in transcripts] == [round(1 + i / 100, 2) for i in range(30)]
    assert len(fleet.jobs()) - before == 30


async def test_the_asyncio_client_does_what_the_blocking_one_does(fleet: Fleet, tmp_path: Path) -> None:
    path = tmp_path / "note.wav"
    path.write_bytes(recording(1.5))
    async with AsyncClient(fleet.url, fleet.key) as client:
        job = (await client.submit(path, words=True)).id
        events = [event.type async for event in client.events(job, timeout_s=WAIT_S)]
        assert events[0] == "accepted" and events[-1] == "completed"
        transcript = await client.transcript(job)
        assert (transcript.text, len(transcript.words)) == (TEXT, 5)
        assert (await client.result(job, "text")).strip() == TEXT
        assert (await client.cancel(job)).state == "completed"
        await client.delete(job)
        with pytest.raises(NotFound):
            await client.job(job)
        assert [model.id for model in await client.models()] == ["stub.en"]
        assert job not in [each.id for each in (await client.jobs()).data]
        with pytest.raises(JobFailed) as failure:
            await client.transcribe(b"no sound" * 50)
        assert (await client.requeue(failure.value.job)).id == failure.value.job
        assert await client.dead_letters() is not None


async def test_a_cancelled_task_leaves_no_connection(fleet: Fleet) -> None:
    async with AsyncClient(fleet.url, fleet.key) as client:
        job = (await client.submit(recording(1))).id
        await client.wait(job)
        async for _ in client.events(job):
            break
        assert (await client.job(job)).state == "completed"


def test_an_impatient_client_says_that_nothing_answers() -> None:
    with Client("http://127.0.0.1:1", "k", patience_s=0) as client, pytest.raises(GatewayUnreachable, match="Nothing"):
        client.jobs()


def test_without_a_key_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WHISPERFLEET_API_KEY", raising=False)
    with pytest.raises(Exception, match="No API key for http://localhost is known"):
        Client("http://localhost")


def test_address_and_key_come_from_the_environment(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHISPERFLEET_URL", fleet.url)
    monkeypatch.setenv("WHISPERFLEET_API_KEY", fleet.key)
    with Client() as client:
        assert client.jobs(limit=1).data is not None


def test_the_client_brings_in_nothing_but_httpx_and_pydantic() -> None:
    program = (
        "import sys, whisperfleet.client;"
        "print([name for name in ('nats', 'fastapi', 'celery', 'structlog', 'numpy') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("document", ["README.md", "docs/client.md"])
def test_the_documents_examples_run(
    document: str, fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WHISPERFLEET_URL", fleet.url)
    monkeypatch.setenv("WHISPERFLEET_API_KEY", fleet.key)
    for name in ("interview.mp3", "meeting.m4a"):
        (tmp_path / name).write_bytes(recording(2))
    text = (Path(__file__).resolve().parents[3] / document).read_text()
    (example,) = [block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "whisperfleet" in block]
    exec(example.replace("http://127.0.0.1:8080", fleet.url), {"key": fleet.key})  # noqa: S102
    assert TEXT in capsys.readouterr().out
