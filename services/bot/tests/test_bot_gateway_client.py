"""What the gateway answers, in the bot's few cases; and what the bot sends it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from whisper_bot.gateway_client import GatewayAway, GatewayClient, JobUnknown, KeyRefused, UploadRefused

RUNNING = {"id": "j", "state": "running"}


class Gateway:
    """Answers every call with what the test sets, and keeps what it was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.body: Any = RUNNING
        self.headers: dict[str, str] = {}
        self.asked: list[tuple[str, str, str]] = []

    def refuse(self, status: int, code: str = "", **headers: str) -> None:
        self.status, self.body = status, {"error": {"message": "A sentence.", "code": code}}
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    async def serve(self, request: web.Request) -> web.StreamResponse:
        key = request.headers.get("Idempotency-Key", "")
        self.asked.append((request.method, request.path, key))
        await request.read()
        if isinstance(self.body, bytes):
            return web.Response(status=self.status, body=self.body, content_type="text/event-stream")
        return web.json_response(self.body, status=self.status, headers=self.headers)


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    gateway = Gateway()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", gateway.serve)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    gateway.url = f"http://127.0.0.1:{runner.addresses[0][1]}"  # type: ignore[attr-defined]
    yield gateway
    await runner.cleanup()


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[GatewayClient]:
    client = GatewayClient(gateway.url, "wf_key")  # type: ignore[attr-defined]
    yield client
    await client.close()


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "recording"
    path.write_bytes(b"sound")
    return path


async def test_a_recording_is_submitted_once_with_its_own_key(
    gateway: Gateway, client: GatewayClient, recording: Path
) -> None:
    gateway.status, gateway.body = 202, {"job": RUNNING}
    assert await client.submit(recording, language="en", idempotency_key="tg-1-2") == "j"
    assert gateway.asked == [("POST", "/v1/jobs", "tg-1-2")]


@pytest.mark.parametrize(
    ("status", "headers", "case"),
    [
        (401, {"x_should_retry": "false"}, KeyRefused),
        (403, {"x_should_retry": "false"}, UploadRefused),
        (408, {}, GatewayAway),
        (409, {"x_should_retry": "false"}, UploadRefused),
        (413, {"x_should_retry": "false"}, UploadRefused),
        (429, {"Retry_After": "7"}, GatewayAway),
        (429, {"x_should_retry": "false"}, UploadRefused),
        (503, {"Retry_After": "7"}, GatewayAway),
    ],
)
async def test_a_refused_upload_is_one_of_few_cases_after_one_try(
    gateway: Gateway,
    client: GatewayClient,
    recording: Path,
    status: int,
    headers: dict[str, str],
    case: type[Exception],
) -> None:
    gateway.refuse(status, "a_code", **headers)
    with pytest.raises(case) as caught:
        await client.submit(recording, language=None, idempotency_key="k")
    assert len(gateway.asked) == 1
    if isinstance(caught.value, UploadRefused):
        assert caught.value.code == "a_code"
    if isinstance(caught.value, GatewayAway):
        assert caught.value.retry_after_s == (7.0 if "Retry_After" in headers else 2.0)


@pytest.mark.parametrize(
    ("status", "case"), [(404, JobUnknown), (409, JobUnknown), (410, JobUnknown), (500, GatewayAway), (401, KeyRefused)]
)
async def test_a_job_that_cannot_be_asked_for_is_unknown_or_its_gateway_away(
    gateway: Gateway, client: GatewayClient, status: int, case: type[Exception]
) -> None:
    gateway.refuse(status)
    with pytest.raises(case):
        await client.job("j")
    with pytest.raises(case):
        await client.result("j", "text")


async def test_a_gateway_that_is_not_there_is_away(recording: Path) -> None:
    client = GatewayClient("http://127.0.0.1:9", "wf_key")
    with pytest.raises(GatewayAway):
        await client.submit(recording, language=None, idempotency_key="k")
    with pytest.raises(GatewayAway):
        await client.erase("j")
    await client.wait_final("j")
    await client.close()


async def test_what_was_only_cancelled_is_to_be_erased_again(gateway: Gateway, client: GatewayClient) -> None:
    gateway.body = RUNNING
    with pytest.raises(GatewayAway):
        await client.erase("j")


async def test_what_is_so_already_is_no_problem(gateway: Gateway, client: GatewayClient) -> None:
    gateway.refuse(409)
    await client.requeue("j")
    gateway.refuse(404)
    await client.erase("j")
    with pytest.raises(JobUnknown):
        await client.requeue("j")


@pytest.mark.parametrize(
    "stream",
    [b'id: 1\nevent: completed\ndata: {"job": "j"}\n\n', b'id: 1\nevent: planned\ndata: {"job": "j"}\n\n', b"", None],
)
async def test_waiting_ends_with_the_job_and_with_its_stream(
    gateway: Gateway, client: GatewayClient, stream: bytes | None
) -> None:
    """What has become of the job is asked afterwards."""
    if stream is None:
        gateway.refuse(503)
    else:
        gateway.body = stream
    await client.wait_final("j")
    assert [path for _, path, _ in gateway.asked] == ["/v1/jobs/j/events"]
