import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from whisper_contracts.failures import FailureReason, JobFailed
from whisper_dispatcher.transcript.server_response import parse_verbose_json
from whisper_dispatcher.worker.golden import default_clip
from whisper_dispatcher.worker.inference_form import InferenceOptions
from whisper_dispatcher.worker.whisper_server import ServerConfig, ServerFailed, WhisperServer, reason_of

TIMEOUT_S = 60.0


@pytest.fixture
def config(whisper_server_binary, demo_model):
    return ServerConfig(whisper_server_binary, demo_model, threads=1, language="en")


@pytest.fixture(scope="module")
def hello():
    return default_clip("en").pcm


@asynccontextmanager
async def running(config, **options):
    server = WhisperServer(config, **options)
    await server.start()
    try:
        yield server
    finally:
        await server.stop(0)


async def transcribe(server, pcm, **options):
    body = await server.inference(pcm, InferenceOptions(**options), TIMEOUT_S)
    response = parse_verbose_json(body, offset_s=0, window_s=len(pcm) / 32_000)
    return response.segments


def is_running(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


async def test_spoken_words_are_transcribed(config, hello):
    async with running(config) as server:
        segments = await transcribe(server, hello)
    assert "".join(segment.text for segment in segments).split() == ["hello", "world", "one", "two", "three"]


async def test_words_carry_times_when_asked_for(config, hello):
    async with running(config) as server:
        timed = await transcribe(server, hello, words=True)
        untimed = await transcribe(server, hello)
    assert [word.word for segment in timed for word in segment.words] == ["hello", "world", "one", "two", "three"]
    assert all(not segment.words for segment in untimed)


async def test_a_prompt_and_a_detected_language_are_accepted(config, hello):
    async with running(config) as server:
        segments = await transcribe(server, hello, prompt="alpha bravo", language="auto")
    assert "hello world" in "".join(segment.text for segment in segments)


async def test_the_backend_is_known_once_the_server_runs(config):
    async with running(config) as server:
        assert (server.backend.device, server.stage, server.is_alive) == ("CPU", "running", True)
    assert not server.is_alive


async def test_a_cancelled_inference_frees_the_server(config, hello):
    five_minutes = hello * (5 * 60 * 32_000 // len(hello))
    async with running(config) as server:
        long = asyncio.create_task(server.inference(five_minutes, InferenceOptions(), TIMEOUT_S))
        await asyncio.sleep(1)
        assert not long.done()
        long.cancel()
        await asyncio.wait({long})
        began_at = time.monotonic()
        assert await transcribe(server, hello)
        assert time.monotonic() - began_at < 5, "the cancelled recording would have taken longer than this"


async def test_a_second_inference_at_a_time_is_refused(config, hello):
    async with running(config) as server:
        first = asyncio.create_task(server.inference(hello, InferenceOptions(), TIMEOUT_S))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="busy"):
            await server.inference(hello, InferenceOptions(), TIMEOUT_S)
        assert await first


async def test_no_audio_is_bad_audio_and_puts_no_server_in_doubt(config):
    doubts = []
    async with running(config, on_doubt=lambda: doubts.append(1)) as server:
        with pytest.raises(JobFailed) as failure:
            await server.inference(b"", InferenceOptions(), TIMEOUT_S)
    assert failure.value.reason == FailureReason.BAD_AUDIO
    assert not doubts


async def test_a_frozen_server_times_out(config, hello):
    doubts = []
    async with running(config, on_doubt=lambda: doubts.append(1)) as server:
        os.kill(server.pid, signal.SIGSTOP)
        with pytest.raises(JobFailed) as failure:
            await server.inference(hello, InferenceOptions(), 0.3)
        assert failure.value.reason == FailureReason.TIMEOUT
        assert doubts
        os.kill(server.pid, signal.SIGCONT)
        assert await transcribe(server, hello)


async def test_a_dead_server_is_unavailable(config, hello):
    async with running(config) as server:
        os.kill(server.pid, signal.SIGKILL)
        assert "SIGKILL" in await server.exited()
        with pytest.raises(JobFailed) as failure:
            await server.inference(hello, InferenceOptions(), TIMEOUT_S)
    assert failure.value.reason == FailureReason.SERVER_UNAVAILABLE


async def test_exit_code_0_is_a_failure_with_its_cause(whisper_server_binary, demo_model):
    server = WhisperServer(ServerConfig(whisper_server_binary, demo_model, language="zz"))
    with pytest.raises(ServerFailed, match=r"refused its arguments \(exit code 0\).*unknown language 'zz'"):
        await server.start()


async def test_a_missing_model_is_named(whisper_server_binary, tmp_path):
    server = WhisperServer(ServerConfig(whisper_server_binary, tmp_path / "absent.bin"))
    with pytest.raises(ServerFailed, match=r"exited with code 3.*absent\.bin"):
        await server.start()


async def test_a_missing_binary_is_named(tmp_path, demo_model):
    with pytest.raises(ServerFailed, match="absent-server"):
        await WhisperServer(ServerConfig(tmp_path / "absent-server", demo_model)).start()


async def test_a_server_that_never_answers_is_stopped_at_the_limit(tmp_path, demo_model):
    script = tmp_path / "silent-server"
    script.write_text("#!/bin/sh\nexec sleep 600\n")
    script.chmod(0o755)
    server = WhisperServer(ServerConfig(script, demo_model, start_limit_s=0.3))
    with pytest.raises(ServerFailed, match=r"after 0\.3 s"):
        await server.start()
    assert not is_running(server.pid)


async def test_a_stop_lets_the_running_inference_finish(config, hello):
    async with running(config) as server:
        inference = asyncio.create_task(transcribe(server, hello * 25))
        # whisper-server finishes what it has accepted, so the request must have arrived.
        await asyncio.sleep(0.5)
        assert not inference.done()
        await server.stop(30)
        assert await inference


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills children with their parent")
def test_no_server_outlives_its_killed_worker(config):
    program = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from whisper_dispatcher.worker.whisper_server import ServerConfig, WhisperServer\n"
        "async def main():\n"
        "    server = WhisperServer(ServerConfig(Path(sys.argv[1]), Path(sys.argv[2]), threads=1))\n"
        "    await server.start()\n"
        "    print(server.pid, flush=True)\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", program, str(config.binary), str(config.model)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
        pid = int(worker.stdout.readline())
        assert is_running(pid)
        worker.kill()
    deadline = time.monotonic() + 10
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_running(pid)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (400, FailureReason.BAD_AUDIO),
        (404, FailureReason.SERVER_UNAVAILABLE),
        (500, FailureReason.SERVER_ERROR),
        (418, FailureReason.SERVER_ERROR),
    ],
)
def test_the_status_alone_decides_the_reason(status, reason):
    assert reason_of(status) == reason
