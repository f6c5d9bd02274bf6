"""`whisperfleet up` and `demo` as a person starts them: real processes, real words."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from up_harness import PROGRAM, Up, descendants, left_of, transcribe, until

from whisper_dispatcher.jetstream.topology import Limits
from whisper_dispatcher.local.commands import Ports, Speech
from whisper_dispatcher.local.data_folder import DataFolder, Queue
from whisper_dispatcher.local.pipeline import Pipeline
from whisper_dispatcher.local.processes import Child, Command, log_tail
from whisper_dispatcher.local.up import KILLED_EXIT_CODE, Stops, run_pipeline

GONE_S = 10.0

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def up(tmp_path: Path, whisper_server_binary: Path) -> Iterator[Callable[..., Up]]:
    started: list[Up] = []

    def start(*options: str) -> Up:
        started.append(Up(tmp_path, whisper_server_binary, *options))
        return started[-1]

    yield start
    for each in started:
        each.kill()


def test_up_transcribes_and_sigterm_leaves_no_process_and_no_file(up: Callable[..., Up]) -> None:
    running = up("--servers", "2")
    with running.client() as client:
        assert transcribe(client, "hello.wav") == "hello world one two three"
    children = descendants(running.process.pid)
    assert sum("whisper-server" in command and "--port" in command for command in children.values()) == 2
    for part in (
        "nats-server",
        "whisper_dispatcher.gateway",
        "whisper_dispatcher.planner",
        "whisper_dispatcher.worker",
    ):
        assert any(part in command for command in children.values()), part
    assert running.stop() == 0
    assert left_of(children) == {}
    assert not running.ready_file.exists()
    assert list(running.temporary.iterdir()) == []
    assert not (running.state / "whisperfleet" / "running.json").exists()


def test_sigkill_leaves_no_process(up: Callable[..., Up]) -> None:
    running = up()
    running.wait_ready()
    children = descendants(running.process.pid)
    assert len(children) >= 5
    running.process.kill()
    running.process.wait()
    until(lambda: not left_of(children), GONE_S)


def test_a_killed_worker_is_started_again_and_the_job_is_done(up: Callable[..., Up]) -> None:
    running = up()
    with running.client() as client:
        os.kill(running.part("whisper_dispatcher.worker"), signal.SIGKILL)
        assert transcribe(client, "hello.wav") == "hello world one two three"
    assert "worker was killed by SIGKILL; starting it again in 0.5 s" in running.output
    assert running.stop() == 0


def test_jobs_and_key_in_a_data_folder_outlive_a_restart(up: Callable[..., Up], tmp_path: Path) -> None:
    options = ("--data", str(tmp_path / "data"))
    first = up(*options)
    with first.client() as client:
        key = client.headers["X-API-Key"]
        transcribe(client, "hello.wav")
    assert first.stop() == 0
    second = up(*options)
    with second.client() as client:
        assert client.headers["X-API-Key"] == key
        (job,) = client.get("/v1/jobs").json()["data"]
        result = client.get(f"/v1/jobs/{job['id']}/result", params={"format": "text"})
    assert result.text.strip() == "hello world one two three"
    assert second.stop() == 0


def test_the_demo_transcribes_every_sample_and_leaves_nothing(tmp_path: Path, whisper_server_binary: Path) -> None:
    environment = os.environ | {
        "TMPDIR": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path),
        "WHISPER_SERVER": str(whisper_server_binary),
        "COLUMNS": "200",
    }
    demo = subprocess.run([*PROGRAM, "demo"], env=environment, capture_output=True, text=True, timeout=110)
    assert demo.returncode == 0, demo.stdout + demo.stderr
    for text in ("good morning this is a test", "hello this is juliet", "the computer is ready", "turn off the"):
        assert text in demo.stdout
    assert list(tmp_path.iterdir()) == []


async def test_the_first_signal_drains_and_the_second_ends_at_once(tmp_path: Path) -> None:
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    )
    told: list[str] = []
    child = Child(
        Command("gateway", (sys.executable, "-c", stubborn), dict(os.environ), tmp_path / "log", 600.0), told.append
    )
    pipeline = started_pipeline(tmp_path, child)
    stops = Stops()
    with stops.installed():
        await child.start()
        async with asyncio.timeout(30):
            while log_tail(tmp_path / "log") != ["up"]:  # noqa: ASYNC110  another process writes it
                await asyncio.sleep(0.01)
            os.kill(os.getpid(), signal.SIGTERM)
            await stops.drain.wait()
            assert not stops.kill.is_set()
            async with run_pipeline(pipeline, stops):  # told to stop before it started, it starts nothing
                os.kill(os.getpid(), signal.SIGINT)
    assert stops.kill.is_set()
    assert child.pid is None
    assert KILLED_EXIT_CODE == 130


def started_pipeline(folder: Path, child: Child) -> Pipeline:
    queue = Queue({}, "wf_k", Limits())
    speech = Speech("demo.en", folder / "m.bin", folder / "whisper-server", 1)
    missing = folder / "nats-server"
    return Pipeline(DataFolder(folder), queue, Ports(1, 2, 3, 4), speech, missing, lambda _: None, [child])
