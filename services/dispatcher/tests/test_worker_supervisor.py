import asyncio
import os
import signal
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from whisper_contracts.failures import FailureReason, JobFailed
from whisper_dispatcher.worker import stub_server
from whisper_dispatcher.worker import supervisor as supervisor_module
from whisper_dispatcher.worker.golden import GoldenClip, default_clip
from whisper_dispatcher.worker.inference_form import InferenceOptions
from whisper_dispatcher.worker.supervisor import MAX_RESTART_DELAY_S, Supervisor, restart_delay_s
from whisper_dispatcher.worker.whisper_server import CpuFallback, GoldenClipFailed, ServerConfig, ServerFailed

TIMEOUT_S = 60.0
OPTIONS = InferenceOptions()


@pytest.fixture
def config(whisper_server_binary, demo_model):
    return ServerConfig(whisper_server_binary, demo_model, threads=1, language="en")


@pytest.fixture
def stub_config(tmp_path):
    script = stub_server.write_program(tmp_path)

    def with_args(*extra_args):
        return ServerConfig(script, tmp_path / "no-model", extra_args=extra_args)

    return with_args


@pytest.fixture(scope="module")
def clip():
    return default_clip("en")


@asynccontextmanager
async def supervised(config, clip, slots=1, **options):
    supervisor = Supervisor(config, slots, clip, **options)
    await supervisor.start()
    try:
        yield supervisor
    finally:
        await supervisor.close(0)


async def transcribe(supervisor, clip, timeout_s=TIMEOUT_S):
    async with supervisor.slot(0) as server:
        return await server.inference(clip.pcm, OPTIONS, timeout_s)


async def test_a_started_supervisor_lends_out_working_servers(config, clip):
    async with supervised(config, clip, slots=2) as supervisor:
        states = supervisor.states()
        assert [(state.index, state.alive, state.ready, state.restarts) for state in states] == [
            (0, True, True, 0),
            (1, True, True, 0),
        ]
        assert states[0].pid != states[1].pid
        assert b"hello world" in await transcribe(supervisor, clip)
    assert not any(state.alive or state.ready for state in supervisor.states())


async def test_a_killed_server_is_replaced_by_one_that_works(config, clip):
    async with supervised(config, clip) as supervisor:
        first = supervisor.states()[0].pid
        os.kill(first, signal.SIGKILL)
        await (await supervisor.ready(0)).exited()
        assert b"hello world" in await transcribe(supervisor, clip)
        state = supervisor.states()[0]
        assert (state.pid != first, state.restarts, "SIGKILL" in state.last_error) == (True, 1, True)


async def test_a_server_that_hangs_is_replaced(config, clip):
    async with supervised(config, clip, recheck_limit_s=0.3) as supervisor:
        first = supervisor.states()[0].pid
        os.kill(first, signal.SIGSTOP)
        with pytest.raises(JobFailed) as failure:
            await transcribe(supervisor, clip, timeout_s=0.3)
        assert failure.value.reason == FailureReason.TIMEOUT
        assert not supervisor.states()[0].ready
        assert b"hello world" in await transcribe(supervisor, clip)
        assert supervisor.states()[0].pid != first


async def test_a_server_that_comes_free_after_a_timeout_is_kept(config, clip):
    async with supervised(config, clip) as supervisor:
        first = supervisor.states()[0].pid
        with pytest.raises(JobFailed):
            await transcribe(supervisor, clip, timeout_s=0.001)
        assert b"hello world" in await transcribe(supervisor, clip)
        state = supervisor.states()[0]
        assert (state.pid, state.restarts) == (first, 0)


async def test_a_crash_inside_a_request_is_a_failure_of_that_request_alone(stub_config, clip, monkeypatch):
    monkeypatch.setattr(supervisor_module, "CRASH_NOTICE_S", 10.0)
    async with supervised(stub_config("--delay-ms", "1", "--crash-at", "2"), clip) as supervisor:
        first = supervisor.states()[0].pid
        with pytest.raises(JobFailed) as failure:
            await transcribe(supervisor, clip)
        assert failure.value.reason == FailureReason.SERVER_UNAVAILABLE
        assert (await supervisor.ready(0)).pid != first
        assert "SIGKILL" in supervisor.states()[0].last_error


async def test_a_server_that_mishears_its_golden_clip_gets_no_work(stub_config, clip):
    supervisor = Supervisor(stub_config("--delay-ms", "1", "--text", "[BLANK_AUDIO]"), 1, clip)
    with pytest.raises(GoldenClipFailed, match=r"BLANK_AUDIO.*instead of 'hello world one two three'"):
        await supervisor.start()
    assert not supervisor.states()[0].alive


async def test_a_server_on_the_cpu_gets_no_work_where_a_gpu_is_required(config, clip):
    supervisor = Supervisor(replace(config, gpu_required=True), 1, clip)
    with pytest.raises(CpuFallback, match=r"computes on the CPU, and a GPU is required"):
        await supervisor.start()
    assert not supervisor.states()[0].alive


async def test_a_clip_without_a_known_text_only_needs_an_answer(stub_config, clip):
    config = stub_config("--delay-ms", "1", "--text", "bonjour")
    async with supervised(config, GoldenClip(clip.pcm, None)) as supervisor:
        assert b"bonjour" in await transcribe(supervisor, clip)


async def test_a_server_that_recovers_while_starting_is_accepted(stub_config, clip, tmp_path):
    config = stub_config("--delay-ms", "1")
    once = tmp_path / "failed-once"
    script = config.binary.read_text().replace("exec", f'[ -e "{once}" ] || {{ : > "{once}"; exit 3; }}\nexec')
    config.binary.write_text(script)
    async with supervised(config, clip) as supervisor:
        state = supervisor.states()[0]
        assert (state.ready, state.restarts) == (True, 1)


async def test_refused_arguments_end_the_start_with_their_cause(stub_config, clip):
    with pytest.raises(ServerFailed, match=r"refused its arguments.*unknown argument: --no-such-flag"):
        await Supervisor(stub_config("--no-such-flag"), 2, clip).start()


async def test_a_slot_belongs_to_one_caller_at_a_time(stub_config, clip):
    async with supervised(stub_config("--delay-ms", "20"), clip) as supervisor:
        answers = await asyncio.gather(*(transcribe(supervisor, clip) for _ in range(3)))
        assert all(b"hello world" in answer for answer in answers)


async def test_closing_lets_the_running_inference_finish(stub_config, clip):
    supervisor = Supervisor(stub_config("--delay-ms", "800"), 1, clip)
    await supervisor.start()
    running = asyncio.create_task(transcribe(supervisor, clip))
    # A server finishes what it has accepted, so the request must have arrived.
    await asyncio.sleep(0.4)
    assert supervisor.states()[0].busy
    await supervisor.close(30)
    assert b"hello world" in await running


def test_restarts_come_slower_with_every_failure_up_to_a_limit():
    delays = [restart_delay_s(failures) for failures in range(1_000)]
    assert delays[0] == 0
    assert delays == sorted(delays)
    assert delays[1] < 1
    assert delays[-1] == MAX_RESTART_DELAY_S


def test_a_golden_clip_in_another_format_is_refused(tmp_path):
    path = tmp_path / "clip.wav"
    path.write_bytes(b"not audio")
    with pytest.raises(ValueError, match=r"clip\.wav cannot be read"):
        GoldenClip.load(path, "hello")
