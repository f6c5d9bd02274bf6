"""Ten minutes of speech on two real servers."""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from up_harness import Up, descendants, spoken, started, transcribe

from whisper_dispatcher.transcript.word_error import word_error_rate
from whisper_models.bundled import sample_path

RECORDING = "ten-minutes.ogg"
LIMIT_S = 400.0
MAX_WORD_ERROR_RATE = 0.02
"""The demo model's own: whole it hears every word, and windows that are cut elsewhere cost it a few."""

pytestmark = pytest.mark.timeout(LIMIT_S + 60)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, whisper_server_binary: Path) -> Iterator[Up]:
    with started(tmp_path_factory.mktemp("up"), whisper_server_binary, "--servers", "2") as running:
        yield running


def submit(http: httpx.Client, sample: str) -> str:
    answer = http.post("/v1/jobs", files={"file": (sample, sample_path(sample).read_bytes())})
    assert answer.status_code == 202, answer.text
    return str(answer.headers["Location"])


def wait_for_windows(http: httpx.Client, job: str, done: int | None) -> None:
    """done: None = all."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        state = http.get(job).json()
        assert state["state"] in ("queued", "running", "completed"), state
        if state["state"] == "completed" or (done is not None and state["windows"]["done"] >= done):
            return
        time.sleep(0.1)
    raise AssertionError("the job did not come so far in time")


def said_twice(text: str) -> Counter[str]:
    words = re.findall(r"[a-z]+", text.lower())
    return Counter(word for word, following in pairwise(words) if word == following)


def cpu_seconds(pid: int) -> float:
    times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")


def test_two_servers_hear_ten_minutes_and_a_note_overtakes_them(up: Up) -> None:
    with up.client() as http:
        job = submit(http, RECORDING)
        wait_for_windows(http, job, done=1)
        assert transcribe(http, "hello.wav") == "hello world one two three"
        assert http.get(job).json()["state"] == "running"

        wait_for_windows(http, job, done=None)
        state = http.get(job).json()
        result = http.get(f"{job}/result", params={"format": "verbose_json"}).json()
    assert state["windows"]["done"] == state["windows"]["total"] >= 20
    assert result["duration"] == pytest.approx(599.55, abs=0.1)

    assert word_error_rate(spoken(RECORDING), result["text"]) <= MAX_WORD_ERROR_RATE
    assert not said_twice(result["text"]) - said_twice(spoken(RECORDING))
    times = [time for segment in result["segments"] for time in (segment["start"], segment["end"])]
    assert times == sorted(times)

    servers = [pid for pid, command in descendants(up.process.pid).items() if "whisper-server" in command]
    spent = [cpu_seconds(pid) for pid in servers]
    assert len(spent) == 2
    assert min(spent) > sum(spent) / 4
