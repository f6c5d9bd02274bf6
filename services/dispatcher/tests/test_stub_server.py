import asyncio
import json
import socket
import sys
import time
from contextlib import asynccontextmanager

import pytest

from whisper_dispatcher.worker.inference_form import InferenceOptions, form_fields, multipart, wav
from whisper_dispatcher.worker.loopback_http import exchange

SECOND = bytes(32_000)


async def spawn(*arguments):
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "whisper_dispatcher.worker.stub_server", *arguments), stderr=asyncio.subprocess.PIPE
    )


@asynccontextmanager
async def stub(*arguments):
    """Yields the port and the process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = await spawn("--port", str(port), "--delay-ms", "1", *arguments)
    try:
        while b"listening" not in (line := await process.stderr.readline()):
            assert line, "the stub has ended"
        yield port, process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def infer(port, *, path="/inference", file=None, **changes):
    fields = form_fields(InferenceOptions(words=True), "en") | changes
    body, content_type = multipart(fields, wav(SECOND) if file is None else file)
    return await exchange(port, "POST", path, body=body, content_type=content_type)


async def test_it_answers_like_whisper_server():
    async with stub("-m", "ignored.bin", "-t", "4", "-l", "en", "--request-path", "/secret", "-nlp") as (port, _):
        assert (await exchange(port, "GET", "/secret/health")).body == b'{"status":"ok"}'
        answer = json.loads((await infer(port, path="/secret/inference")).body)
        elsewhere = await infer(port)
    assert [segment["text"] for segment in answer["segments"]] == [" hello world one two three"]
    assert answer["text"] == " hello world one two three\n"
    assert answer["segments"][0]["words"][0]["end"] == pytest.approx(0.2)
    assert (elsewhere.status, elsewhere.body) == (404, b"File Not Found (/inference)")


async def test_it_refuses_what_whisper_server_refuses():
    async with stub() as (port, _):
        undecodable = await infer(port, file=b"OggS")
        bad_number = await infer(port, temperature="warm")
        short = await infer(port, file=wav(SECOND[:1600]))
    assert (undecodable.status, undecodable.body) == (400, b"Invalid request")
    assert bad_number.status == 500
    assert json.loads(short.body)["segments"] == []


async def test_lines_are_cut_inside_words_unless_told_otherwise():
    async with stub("--text", "alpha " * 15) as (port, _):
        cut = json.loads((await infer(port, max_len="0")).body)
        whole = json.loads((await infer(port)).body)
    assert [len(segment["text"]) for segment in cut["segments"]] == [60, 31]
    assert len(whole["segments"]) == 1


async def test_one_inference_at_a_time():
    async with stub("--delay-ms", "150") as (port, _):
        began_at = time.monotonic()
        await asyncio.gather(*(infer(port) for _ in range(3)))
        assert time.monotonic() - began_at >= 0.45


async def test_a_client_that_hangs_up_frees_it():
    async with stub("--delay-ms", "500") as (port, _):
        left = [asyncio.create_task(infer(port)) for _ in range(6)]
        await asyncio.sleep(0.2)
        for task in left:
            task.cancel()
        began_at = time.monotonic()
        assert (await infer(port)).status == 200
        assert time.monotonic() - began_at < 2


async def test_sigterm_lets_the_running_inference_finish():
    async with stub("--delay-ms", "400") as (port, process):
        running = asyncio.create_task(infer(port))
        await asyncio.sleep(0.15)
        process.terminate()
        assert (await running).status == 200
        assert await process.wait() == 0


async def test_it_fails_on_demand():
    async with stub("--fail-first", "1", "--crash-at", "3") as (port, process):
        assert [(await infer(port)).status for _ in range(2)] == [500, 200]
        with pytest.raises((OSError, EOFError)):
            await infer(port)
        assert await process.wait() == -9


async def test_a_hanging_inference_never_lets_another_one_in():
    async with stub("--hang-at", "1") as (port, _):
        for _ in range(2):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(infer(port), 0.2)
        assert (await exchange(port, "GET", "/health")).status == 200


async def test_an_endless_inference_ends_with_its_client():
    async with stub("--endless-prompt", "never") as (port, _):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(infer(port, prompt="never"), 0.2)
        assert (await infer(port)).status == 200


@pytest.mark.parametrize(
    ("arguments", "code"), [(["-nc"], 0), (["-l", "zz"], 0), (["--exit-code", "7"], 7), (["--exit-code", "0"], 0)]
)
async def test_it_leaves_like_whisper_server(arguments, code):
    process = await spawn(*arguments)
    await process.communicate()
    assert process.returncode == code
