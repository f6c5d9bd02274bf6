from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from gateway_harness import Stage, stage, until

from whisper_contracts import names
from whisper_contracts.failures import FailureReason
from whisper_contracts.messages import MAX_INLINE_AUDIO_BYTES, ClientRecord, JobRecord
from whisper_dispatcher.gateway.app import create_app
from whisper_dispatcher.gateway.gateway import Gateway
from whisper_dispatcher.gateway.job_view import INDEX_WAIT_S
from whisper_dispatcher.gateway.settings import GatewaySettings
from whisper_dispatcher.jetstream import buckets, objects
from whisper_dispatcher.jetstream.streams import Stored
from whisper_dispatcher.jobs.clients import Quotas, key_hash


@pytest.fixture
async def on(nats_url: str) -> AsyncIterator[Stage]:
    async with stage(nats_url) as running:
        yield running


async def test_a_job_is_accepted_and_asked_for_until_done(on: Stage) -> None:
    on.stand_in.texts = ["One.", "Two."]
    on.stand_in.after_window[1] = asyncio.Event()
    answer = await on.http.post("/v1/jobs", files={"file": ("talk.mp3", b"ID3 audio")})
    assert answer.status_code == 202
    url = answer.headers["location"]
    await until(lambda: bool((view := on.gateway.index.get(url[-32:])) and view.done))
    running = (await on.http.get(url)).json()
    assert (running["state"], running["windows"]) == ("running", {"done": 1, "total": 2})
    assert (await on.http.get(f"{url}/result")).status_code == 409
    on.stand_in.after_window[1].set()
    await on.final(url[-32:])
    done = (await on.http.get(url)).json()
    assert (done["state"], done["duration_s"], done["filename"]) == ("completed", 20.0, "talk.mp3")
    assert (await on.http.get(f"{url}/result")).json()["text"] == "One. Two."


@pytest.mark.parametrize(
    ("wanted", "kind"),
    [
        ("json", "application/json"),
        ("verbose_json", "application/json"),
        ("text", "text/plain; charset=utf-8"),
        ("srt", "application/x-subrip"),
        ("vtt", "text/vtt; charset=utf-8"),
    ],
)
async def test_a_result_comes_in_every_format(on: Stage, wanted: str, kind: str) -> None:
    job = await on.submit()
    await on.final(job)
    answer = await on.http.get(f"/v1/jobs/{job}/result", params={"format": wanted})
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    assert "Hello there." in answer.text


async def test_an_unknown_format_is_a_sentence(on: Stage) -> None:
    answer = await on.http.get(f"/v1/jobs/{await on.submit()}/result?format=docx")
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "format"


async def test_another_clients_job_is_not_found(on: Stage) -> None:
    job = await on.submit()
    stranger = {"X-API-Key": await on.new_key()}
    for method, path in (
        ("GET", ""),
        ("GET", "/result"),
        ("GET", "/events"),
        ("DELETE", ""),
        ("POST", "/requeue"),
        ("POST", "/cancel"),
    ):
        answer = await on.http.request(method, f"/v1/jobs/{job}{path}", headers=stranger)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "job_not_found")
    assert (await on.http.get("/v1/jobs", headers=stranger)).json()["data"] == []


async def test_a_job_that_another_gateway_has_just_accepted_is_waited_for(on: Stage, nats_url: str) -> None:
    late = Gateway(GatewaySettings(nats_url=nats_url))
    held: list[Stored] = []
    late.feed.apply = held.append  # type: ignore[method-assign]
    late.start()
    await until(lambda: late.is_current)
    transport = httpx.ASGITransport(create_app(late))
    async with httpx.AsyncClient(transport=transport, base_url="http://late", headers={"X-API-Key": on.key}) as http:
        job = await on.submit()
        asked = asyncio.create_task(http.get(f"/v1/jobs/{job}"))
        await until(lambda: names.record_subject(on.client, job) in [stored.subject for stored in held])
        await asyncio.wait({asked}, timeout=0.5)
        for stored in held:
            late.index.apply(stored)
        answer = await asked
        assert (answer.status_code, answer.json().get("id")) == (200, job)
    await late.stop()


@pytest.mark.parametrize("job", ["none", "*", "%3E", "a%20b", "a.b", "%0D%0A", "x" * 3000])
async def test_what_is_no_job_is_not_found_at_once(on: Stage, job: str) -> None:
    await on.submit()
    async with asyncio.timeout(INDEX_WAIT_S):
        assert (await on.http.get(f"/v1/jobs/{job}")).status_code == 404


async def test_own_jobs_are_listed_newest_first_page_by_page(on: Stage) -> None:
    jobs = [await on.submit(bytes([65 + i])) for i in range(3)]
    first = (await on.http.get("/v1/jobs", params={"limit": 2})).json()
    assert ([job["id"] for job in first["data"]], first["has_more"]) == ([jobs[2], jobs[1]], True)
    second = (await on.http.get("/v1/jobs", params={"limit": 2, "after": jobs[1]})).json()
    assert ([job["id"] for job in second["data"]], second["has_more"]) == ([jobs[0]], False)


async def test_the_queue_position_counts_the_jobs_before(on: Stage) -> None:
    on.stand_in.after_plan.clear()
    before = on.gateway.index.active_count()
    jobs = [await on.submit(bytes([65 + i])) for i in range(3)]
    positions = [(await on.http.get(f"/v1/jobs/{job}")).json()["queue_position"] for job in jobs]
    assert positions == [before, before + 1, before + 2]


async def test_cancelling_twice_never_erases(on: Stage) -> None:
    """A second DELETE, sent because the first answer was lost, would erase the job."""
    on.stand_in.after_plan.clear()
    job = await on.submit()
    for _ in range(2):
        answer = await on.http.post(f"/v1/jobs/{job}/cancel")
        assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
    on.stand_in.after_plan.set()
    done = await on.submit(b"RIFF other")
    await on.final(done)
    assert (await on.http.post(f"/v1/jobs/{done}/cancel")).json()["state"] == "completed"
    assert (await on.http.get(f"/v1/jobs/{done}/result")).json()["text"] == "Hello there."


async def test_deleting_a_running_job_cancels_it(on: Stage) -> None:
    on.stand_in.after_plan.clear()
    heard = asyncio.Event()
    job = await on.submit()

    async def on_cancel(_: object) -> None:
        heard.set()

    await on.jetstream.client.subscribe(names.cancel_subject(job), cb=on_cancel)
    await on.jetstream.client.flush()
    answer = await on.http.delete(f"/v1/jobs/{job}")
    assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
    async with asyncio.timeout(5):
        await heard.wait()
    assert not await on.jetstream.subjects(names.PLAN_STREAM, names.job_plan_filter(on.client, job))
    assert (await on.http.get(f"/v1/jobs/{job}/result")).json()["error"]["code"] == "cancelled"


async def test_deleting_a_finished_job_erases_audio_and_text(on: Stage) -> None:
    job = await on.submit()
    await on.final(job)
    assert (await on.http.delete(f"/v1/jobs/{job}")).status_code == 204
    left = await on.jetstream.subjects(names.JOURNAL_STREAM, names.job_filter(on.client, job))
    assert list(left) == [names.state_subject(on.client, job)]
    assert not await on.jetstream.subjects(names.JOURNAL_STREAM, names.audio_subject(on.client, job))
    await until(lambda: on.gateway.index.get(job) is None)
    assert (await on.http.get(f"/v1/jobs/{job}")).status_code == 404


async def test_a_failed_job_is_a_dead_letter_and_can_be_requeued(on: Stage) -> None:
    on.stand_in.failure = FailureReason.SERVER_ERROR
    job = await on.submit()
    await on.final(job)
    [letter] = (await on.http.get("/v1/dead-letters")).json()["data"]
    assert (letter["job"], letter["reason"]) == (job, "server_error")
    answer = await on.http.post(f"/v1/jobs/{job}/requeue")
    assert (answer.status_code, answer.json()["job"]["state"]) == (202, "queued")
    assert (await on.http.get("/v1/dead-letters")).json()["data"] == []
    again = await on.http.post(f"/v1/jobs/{job}/requeue")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "job_not_failed")


async def test_an_operator_sees_and_requeues_every_clients_dead_letters(on: Stage) -> None:
    on.stand_in.failure = FailureReason.INTERNAL
    job = await on.submit()
    await on.final(job)
    stranger = {"X-API-Key": await on.new_key()}
    assert (await on.http.get("/v1/dead-letters", headers=stranger)).json()["data"] == []
    operator = {"X-API-Key": await on.new_key(Quotas(operator=True))}
    letters = (await on.http.get("/v1/dead-letters", headers=operator)).json()["data"]
    assert job in [letter["job"] for letter in letters]
    assert (await on.http.post(f"/v1/jobs/{job}/requeue", headers=operator)).status_code == 202


@pytest.mark.parametrize("audio", [b"short", b"long" * MAX_INLINE_AUDIO_BYTES])
async def test_an_idempotency_key_makes_one_job_of_two_requests(on: Stage, audio: bytes) -> None:
    header = {"Idempotency-Key": "order-17"}
    files = {"file": ("a.wav", audio)}
    first = await on.http.post("/v1/jobs", files=files, headers=header)
    await on.final(first.json()["job"]["id"])
    second = await on.http.post("/v1/jobs", files=files, headers=header)
    assert first.json()["job"]["id"] == second.json()["job"]["id"]
    other = await on.http.post("/v1/jobs", files={"file": b"another"}, headers=header)
    assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_conflict")
    options = await on.http.post("/v1/jobs", files=files, data={"prompt": "x"}, headers=header)
    assert options.status_code == 409
    assert len(on.stand_in.seen) == 1


@pytest.mark.parametrize("size_bytes", [9, 2 * MAX_INLINE_AUDIO_BYTES], ids=["short", "long"])
async def test_two_uploads_at_once_with_one_key_never_mix(on: Stage, size_bytes: int, tmp_path: Path) -> None:
    header = {"Idempotency-Key": f"race of {size_bytes}"}
    answers = await asyncio.gather(
        *(on.http.post("/v1/jobs", files={"file": bytes([65 + i]) * size_bytes}, headers=header) for i in range(4))
    )
    assert sorted(answer.status_code for answer in answers) == [202, 409, 409, 409]
    await until(lambda: bool(on.stand_in.seen))
    winner = next(i for i, answer in enumerate(answers) if answer.status_code == 202)
    assert await audio_of(on, on.stand_in.seen[0], tmp_path) == bytes([65 + winner]) * size_bytes


async def audio_of(on: Stage, record: JobRecord, folder: Path) -> bytes:
    if record.audio_object:
        await objects.download(on.jetstream, names.AUDIO_BUCKET, record.audio_object, folder / "audio")
        return (folder / "audio").read_bytes()
    stored = await on.jetstream.get_last(names.JOURNAL_STREAM, names.audio_subject(on.client, record.job))
    assert stored
    return stored.data


@pytest.mark.parametrize("left", [b"another file", b"this file"])
@pytest.mark.parametrize("times", [1, MAX_INLINE_AUDIO_BYTES], ids=["short", "long"])
async def test_audio_left_by_a_gateway_that_died_does_not_block_its_key(
    on: Stage, left: bytes, times: int, tmp_path: Path
) -> None:
    key = f"died {left!r} {times}"
    job = names.idempotent_job_id(on.client, key)
    if times == 1:
        await on.jetstream.publish(names.audio_subject(on.client, job), left)
    else:
        upload = objects.Upload(on.jetstream, names.AUDIO_BUCKET, job)
        await upload.write(left * times)
        await upload.finish()
    answer = await on.http.post("/v1/jobs", files={"file": b"this file" * times}, headers={"Idempotency-Key": key})
    assert answer.status_code == 202
    await until(lambda: bool(on.stand_in.seen))
    assert await audio_of(on, on.stand_in.seen[0], tmp_path) == b"this file" * times


async def test_an_upload_noted_by_a_gateway_that_died_is_a_new_job(on: Stage) -> None:
    """The note of a running upload without its job's record must not swallow the upload."""
    job = await on.submit(b"first")
    await on.final(job)
    [claim] = await on.jetstream.subjects(names.JOURNAL_STREAM, f"whisper.uploads.{on.client}.*")
    await on.jetstream.publish(claim, b'{"job":"0123456789abcdef0123456789abcdef"}')
    assert await on.submit(b"first") not in (job, "0123456789abcdef0123456789abcdef")


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("ftp://example.com/x", "invalid_callback"),
        ("example.com", "invalid_callback"),
        ("http://[::1", "invalid_callback"),
        ("http://пример..рф/hook", "invalid_callback"),
        ("http://example.com/\x7f", "invalid_callback"),
        ("http://127.0.0.1:8000/hook", "private_callback"),
        ("http://[fd00::1]/hook", "private_callback"),
        ("http://169.254.169.254/latest", "private_callback"),
        ("http://localhost/hook", "private_callback"),
        ("http://localhost./hook", "private_callback"),
        ("http://224.0.0.1/hook", "private_callback"),
        ("http://[64:ff9b::a00:1]/hook", "private_callback"),
        ("http://[2002:a00:1::]/hook", "private_callback"),
    ],
)
async def test_a_callback_must_lead_to_the_public_internet(on: Stage, url: str, code: str) -> None:
    answer = await on.http.post("/v1/jobs", files={"file": b"audio"}, data={"callback_url": url})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)


async def test_a_callback_is_kept_with_the_job(on: Stage) -> None:
    await on.submit(callback_url="https://example.com/hook")
    await until(lambda: bool(on.stand_in.seen))
    assert on.stand_in.seen[0].callback_url == "https://example.com/hook"


async def test_the_trace_of_the_caller_is_kept_with_the_job(on: Stage) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    header = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    answer = await on.http.post("/v1/jobs", files={"file": b"audio"}, headers=header)
    assert answer.headers["traceparent"].split("-")[1] == trace
    await until(lambda: bool(on.stand_in.seen))
    assert on.stand_in.seen[0].traceparent.split("-")[1] == trace
    await until(lambda: on.gateway.index.get(answer.headers["x-job-id"]) is not None)


async def test_a_job_may_be_asked_for_on_another_replica(on: Stage, nats_url: str) -> None:
    job = await on.submit()
    async with stage(nats_url) as other:
        record = ClientRecord(client=on.client, name="again")
        await buckets.put(on.jetstream, names.CLIENTS_BUCKET, key_hash("second key"), record.encode())
        await until(lambda: other.gateway.clients.find("second key") is not None)
        await other.final(job)
        answer = await other.http.get(f"/v1/jobs/{job}/result", headers={"X-API-Key": "second key"})
        assert answer.json()["text"] == "Hello there."
