from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from gateway_harness import MODEL, NatsServer, Stage, prepare, prepare_with, stage, until

from whisper_contracts import names
from whisper_dispatcher.jetstream import buckets, topology
from whisper_dispatcher.jetstream.streams import connected
from whisper_dispatcher.jobs.clients import Quotas, key_hash, revoke_client


@pytest.fixture
async def on(nats_url: str) -> AsyncIterator[Stage]:
    async with stage(nats_url) as running:
        yield running


@pytest.mark.parametrize(
    "headers", [{"X-API-Key": ""}, {"X-API-Key": "wf_wrong"}, {"X-API-Key": "", "Authorization": "Basic abc"}]
)
async def test_without_a_valid_key_nothing_is_served(on: Stage, headers: dict[str, str]) -> None:
    for method, path in (("POST", "/transcribe"), ("GET", "/v1/models"), ("GET", "/v1/jobs"), ("POST", "/v1/jobs")):
        answer = await on.http.request(method, path, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_key_is_taken_as_bearer_too(on: Stage) -> None:
    answer = await on.http.get("/v1/models", headers={"X-API-Key": "", "Authorization": f"Bearer {on.key}"})
    assert answer.status_code == 200


async def first_signs(on: Stage, headers: dict[str, str]) -> list[object]:
    """An upload's status and the first reading of its body, in the order they came."""
    signs: list[object] = []

    async def receive() -> dict[str, object]:
        signs.append("read")
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, object]) -> None:
        if message["type"] == "http.response.start":
            signs.append(message["status"])

    sent = {"content-type": "multipart/form-data; boundary=x", "content-length": "1000"} | headers
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/transcribe",
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
    }
    await on.http._transport.app(scope, receive, send)
    return signs


async def test_a_wrong_key_is_refused_before_the_body_is_read(on: Stage) -> None:
    assert await first_signs(on, {"X-API-Key": "wf_wrong"}) == [401, "read"]


async def test_a_revoked_key_stops_within_a_second(on: Stage) -> None:
    key = await on.new_key()
    client = on.gateway.clients.find(key)
    assert client
    await revoke_client(on.jetstream, client.client)
    await until(lambda: on.gateway.clients.find(key) is None, limit_s=1)
    assert (await on.http.get("/v1/models", headers={"X-API-Key": key})).status_code == 401


async def test_while_nats_is_away_no_key_is_good_and_health_still_answers(tmp_path: Path) -> None:
    """A key revoked while NATS restarts must not work for a moment longer than NATS is away."""
    server = NatsServer(tmp_path)
    server.start()
    await asyncio.to_thread(asyncio.run, prepare(server.url))
    try:
        async with stage(server.url) as on:
            server.kill()
            await until(lambda: not on.gateway.is_current)
            answer = await on.http.get("/v1/models")
            assert (answer.status_code, answer.headers["x-should-retry"]) == (503, "true")
            assert int(answer.headers["retry-after"]) > 0
            assert (await on.http.get("/healthz")).status_code == 200
            assert (await on.http.get("/readyz")).status_code == 503
            server.start()
            await until(lambda: on.jetstream.is_connected)
            await buckets.delete(on.jetstream, names.CLIENTS_BUCKET, key_hash(on.key))
            revoked_at = time.monotonic()
            statuses = set()
            while time.monotonic() < revoked_at + 3 and 401 not in statuses:
                asked_at = time.monotonic()
                statuses.add(status := (await on.http.get("/v1/models")).status_code)
                assert status != 200 or asked_at < revoked_at + 1
                await asyncio.sleep(0.02)
            await until(lambda: on.gateway.is_current)
            assert (await on.http.get("/v1/models")).status_code == 401
    finally:
        server.kill()


async def test_requests_a_minute_are_limited(on: Stage) -> None:
    headers = {"X-API-Key": await on.new_key(Quotas(requests_per_minute=2))}
    answers = [await on.http.get("/v1/models", headers=headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert 1 <= int(answers[2].headers["retry-after"]) <= 30


async def test_jobs_in_flight_are_limited(on: Stage) -> None:
    headers = {"X-API-Key": await on.new_key(Quotas(jobs_in_flight=2))}
    answers = await asyncio.gather(
        *(on.http.post("/v1/jobs", files={"file": bytes([65 + i])}, headers=headers) for i in range(4))
    )
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) == 2
    assert refused[0].json()["error"]["code"] == "too_many_jobs"


@pytest.mark.parametrize("sent_again", [{"Idempotency-Key": "one"}, {"x-stainless-retry-count": "1"}])
async def test_what_is_sent_again_finds_its_job_though_the_quota_is_used_up(
    on: Stage, sent_again: dict[str, str]
) -> None:
    on.stand_in.after_plan.clear()
    headers = {"X-API-Key": await on.new_key(Quotas(jobs_in_flight=1))} | sent_again
    first, again = [await on.http.post("/v1/jobs", files={"file": b"audio"}, headers=headers) for _ in range(2)]
    assert (again.status_code, again.json()["job"]) == (202, first.json()["job"])


async def test_another_file_sent_again_begins_no_job_beyond_the_quota(on: Stage) -> None:
    on.stand_in.after_plan.clear()
    headers = {"X-API-Key": await on.new_key(Quotas(jobs_in_flight=1)), "x-stainless-retry-count": "1"}
    answers = [await on.http.post("/v1/jobs", files={"file": audio}, headers=headers) for audio in (b"one", b"two")]
    assert [answer.status_code for answer in answers] == [202, 429]


async def test_audio_seconds_a_day_are_limited(on: Stage) -> None:
    quota = Quotas(audio_seconds_per_day=5.0)
    key = await on.new_key(quota)
    client = on.gateway.clients.find(key)
    assert client
    job = await on.submit()
    await on.final(job)
    on.gateway.index._audio_seconds[(client.client, time.strftime("%Y-%m-%d", time.gmtime()))] = 10.0
    answer = await on.http.post("/v1/jobs", files={"file": b"audio"}, headers={"X-API-Key": key})
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "insufficient_quota")
    assert answer.headers["x-should-retry"] == "false"


async def test_a_model_outside_the_quota_is_forbidden_and_not_listed(on: Stage) -> None:
    headers = {"X-API-Key": await on.new_key(Quotas(models=("other",)))}
    assert (await on.http.get("/v1/models", headers=headers)).json()["data"] == []
    answer = await on.http.post("/transcribe", files={"file": b"audio"}, data={"model": MODEL}, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "model_not_allowed")


async def test_a_full_queue_refuses_before_the_body_is_read(nats_url: str) -> None:
    async with stage(nats_url, max_queued_jobs=0) as on:
        assert await first_signs(on, {"X-API-Key": on.key}) == [429, "read"]
        answer = await on.transcribe()
        assert answer.json()["error"]["code"] == "queue_full"
        assert int(answer.headers["retry-after"]) > 0


async def test_a_work_stream_at_its_limit_refuses_and_keeps_nothing(tmp_path: Path) -> None:
    server = NatsServer(tmp_path)
    server.start()
    try:
        async with connected(server.url, name="test") as jetstream:
            await prepare_with(jetstream, topology.Limits(plan_messages=1))
        async with stage(server.url) as on:
            on.stand_in.after_plan.clear()
            first = await on.submit(b"first")
            for headers in ({}, {"Idempotency-Key": "second"}):
                answer = await on.http.post("/v1/jobs", files={"file": b"second"}, headers=headers)
                assert (answer.status_code, answer.json()["error"]["code"]) == (429, "queue_full")
            await until(lambda: on.gateway.index.active_count() == 1)
            assert [job["id"] for job in (await on.http.get("/v1/jobs")).json()["data"]] == [first]
            audio = await on.jetstream.subjects(names.JOURNAL_STREAM, names.AUDIO_SUBJECTS)
            assert list(audio) == [names.audio_subject(on.client, first)]
    finally:
        server.kill()


async def test_what_nobody_foresaw_is_a_500_with_its_request_id(on: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on.gateway, "models", None)
    answer = await on.http.get("/v1/models", headers={"x-request-id": "abc"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal")
    assert answer.headers["x-request-id"] == "abc"


async def test_every_answer_has_a_request_id_and_keeps_a_sane_one(on: Stage) -> None:
    assert (await on.http.get("/healthz")).headers["x-request-id"]
    kept = await on.http.get("/nowhere", headers={"x-request-id": "abc-123"})
    assert (kept.status_code, kept.headers["x-request-id"]) == (404, "abc-123")
    made = await on.http.get("/healthz", headers={"x-request-id": "a b" * 100})
    assert made.headers["x-request-id"] != "a b" * 100


async def test_every_error_has_one_shape(on: Stage) -> None:
    for method, path, status in (
        ("GET", "/nowhere", 404),
        ("PUT", "/transcribe", 405),
        ("GET", "/v1/jobs?limit=x", 400),
    ):
        answer = await on.http.request(method, path)
        assert answer.status_code == status
        error = answer.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["message"].endswith(".")


async def test_the_api_description_shows_the_forms(on: Stage) -> None:
    paths = (await on.http.get("/openapi.json")).json()["paths"]
    for path in ("/transcribe", "/v1/jobs", "/v1/audio/transcriptions", "/v1/audio/translations"):
        schema = paths[path]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
        assert schema["properties"]["file"]["format"] == "binary"
    assert (await on.http.get("/docs")).status_code == 200


async def test_the_api_description_has_the_shape_of_errors_and_no_other(on: Stage) -> None:
    described = (await on.http.get("/openapi.json")).json()
    assert set(described["components"]["schemas"]) == {"Error"}
    answers = described["paths"]["/v1/jobs/{job}"]["delete"]["responses"]
    assert set(answers) == {"200", "204", "default"}
    assert answers["default"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Error"}


async def test_metrics_count_requests_by_route(on: Stage) -> None:
    await on.http.get("/v1/jobs/unknown")
    text = (await on.http.get("/metrics")).text
    assert 'route="/v1/jobs/{job}",status="404"' in text


async def test_metrics_count_what_workers_have_settled(on: Stage) -> None:
    async def settled() -> float:
        text = (await on.http.get("/metrics")).text
        return float(text.split("\nwhisper_gateway_windows_settled_total ")[1].split()[0])

    before = await settled()
    on.stand_in.texts = ["One.", "Two.", "Three."]
    await on.final(await on.submit())
    assert await settled() - before == 3
