from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from gateway_harness import Stage, stage

from whisper_contracts import names
from whisper_contracts.messages import MAX_INLINE_AUDIO_BYTES

MAX_UPLOAD_BYTES = 2 * 1024 * 1024
BOUNDARY = "limit"
HEADERS = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


@pytest.fixture
async def on(nats_url: str) -> AsyncIterator[Stage]:
    async with stage(nats_url, max_upload_bytes=MAX_UPLOAD_BYTES) as running:
        yield running
        assert not running.gateway.uploading
        objects = await running.jetstream.subjects(f"OBJ_{names.AUDIO_BUCKET}", "$O.audio.>")
        assert not objects, "a refused upload left its audio behind"


def refused(answer: httpx.Response, status: int, code: str) -> str:
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert answer.headers["x-should-retry"] == "false"
    return str(error["message"])


def part(name: str, data: bytes, filename: str | None = None) -> bytes:
    disposition = f'form-data; name="{name}"' + (f'; filename="{filename}"' if filename else "")
    return f"--{BOUNDARY}\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + data + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()


async def test_a_form_without_a_file(on: Stage) -> None:
    answer = await on.http.post("/transcribe", content=part("model", b"base.en") + END, headers=HEADERS)
    assert "no part named 'file'" in refused(answer, 400, "no_file")


async def test_an_empty_file(on: Stage) -> None:
    assert "empty" in refused(await on.transcribe(b""), 400, "empty_file")


async def test_a_body_that_is_no_form(on: Stage) -> None:
    answer = await on.http.post("/transcribe", json={"file": "audio"})
    refused(answer, 400, "not_multipart")


async def test_a_form_that_breaks_off(on: Stage) -> None:
    whole = part("file", b"audio" * MAX_INLINE_AUDIO_BYTES, "a.wav")[: MAX_INLINE_AUDIO_BYTES * 2]
    refused(await on.http.post("/transcribe", content=whole, headers=HEADERS), 400, "truncated_form")


async def test_a_form_of_garbage(on: Stage) -> None:
    refused(await on.http.post("/transcribe", content=b"\x00" * 5000, headers=HEADERS), 400, "bad_form")


async def test_ten_thousand_tiny_parts(on: Stage) -> None:
    content = b"".join(part(f"field{index}", b"x") for index in range(10_000)) + END
    refused(await on.http.post("/transcribe", content=content, headers=HEADERS), 400, "too_many_parts")


async def test_a_field_as_large_as_a_file(on: Stage) -> None:
    content = part("prompt", b"x" * 300_000) + END
    refused(await on.http.post("/transcribe", content=content, headers=HEADERS), 400, "field_too_long")


async def test_two_files(on: Stage) -> None:
    content = part("file", b"one", "1.wav") + part("file", b"two", "2.wav") + END
    refused(await on.http.post("/transcribe", content=content, headers=HEADERS), 400, "two_files")


async def test_an_oversized_file_is_refused_by_its_length_alone(on: Stage) -> None:
    headers = HEADERS | {"Content-Length": str(10 * MAX_UPLOAD_BYTES)}
    refused(await on.http.post("/transcribe", content=b"", headers=headers), 413, "too_large")


async def test_an_oversized_file_of_unknown_length(on: Stage) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield part("file", b"", "big.wav")[:-2]
        for _ in range(2 * MAX_UPLOAD_BYTES // 65536):
            yield b"x" * 65536
        yield b"\r\n" + END

    assert "2 MB" in refused(await on.http.post("/transcribe", content=body(), headers=HEADERS), 413, "too_large")


@pytest.mark.parametrize(
    ("field", "value", "status", "code"),
    [
        ("language", "klingon", 400, "invalid_language"),
        ("language", "de", 400, "unsupported_language"),
        ("model", "no-such-model", 404, "model_not_found"),
        ("temperature", "warm", 400, "invalid_parameter"),
        ("temperature", "nan", 400, "invalid_parameter"),
        ("mode", "sideways", 400, "invalid_parameter"),
        ("wait_s", "-1", 400, "invalid_parameter"),
        ("prompt", "x" * 5000, 400, "prompt_too_long"),
    ],
)
async def test_a_wrong_option_names_its_field(on: Stage, field: str, value: str, status: int, code: str) -> None:
    answer = await on.http.post("/transcribe", files={"file": b"long" * MAX_INLINE_AUDIO_BYTES}, data={field: value})
    refused(answer, status, code)
    assert answer.json()["error"]["param"] == field
    assert not on.stand_in.seen


async def test_arrays_are_taken_with_and_without_brackets(on: Stage) -> None:
    for name in ("timestamp_granularities", "timestamp_granularities[]"):
        answer = await on.http.post(
            "/v1/audio/transcriptions",
            files={"file": b"audio"},
            data={name: "word", "response_format": "verbose_json"},
        )
        assert [word["word"] for word in answer.json()["words"]] == ["Hello", "there."]


async def test_an_upload_that_its_client_breaks_off(on: Stage) -> None:
    """The fixture checks that none of its chunks stays in the object store."""
    messages = [
        {"type": "http.request", "body": part("file", b"x" * 1024 * 1024, "a.wav"), "more_body": True},
        {"type": "http.disconnect"},
    ]
    statuses: list[object] = []

    async def receive() -> dict[str, object]:
        return messages.pop(0)

    async def send(message: dict[str, object]) -> None:
        statuses.append(message.get("status"))

    headers = {"x-api-key": on.key, "transfer-encoding": "chunked"} | HEADERS
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/transcribe",
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }
    await on.http._transport.app(scope, receive, send)
    assert statuses[0] == 499
    assert not on.stand_in.seen
