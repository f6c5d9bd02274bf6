"""Jobs through crashes, repeats and interruptions; a stand-in hears the same words in every window."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest
from audio_harness import as_wav, speech_like, tone
from up_harness import Up, started_with_stub, until

WORDS = "hello world one two three"
ENDLESS = "endless"
LIMIT_S = 90.0
FINAL = ("completed", "failed", "cancelled")


@dataclass
class Receiver:
    """Of webhooks."""

    seen: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""


@dataclass
class Follower:
    """An event stream as a browser follows it: from where it broke off, again and again."""

    http: httpx.Client
    job: str
    last_id: str = ""
    events: list[tuple[int, str, dict[str, object]]] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        return [name for _, name, _ in self.events]

    def follow(self, until_windows: int | None = None) -> None:
        """To the end of the job, or to so many windows."""
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline:
            try:
                if self._read(until_windows):
                    return
            except httpx.TransportError:
                time.sleep(0.1)
        raise AssertionError(f"only {self.names} came in time")

    def _read(self, until_windows: int | None) -> bool:
        headers = {"Last-Event-ID": self.last_id} if self.last_id else {}
        with self.http.stream("GET", f"{self.job}/events", headers=headers) as stream:
            if stream.status_code == 503 and "Retry-After" in stream.headers:
                # A gateway that has just started serves before it has read the queue, and says to come again.
                time.sleep(0.1)
                return False
            assert stream.status_code == 200, stream.read()
            kept: dict[str, str] = {}
            for line in stream.iter_lines():
                name, _, value = line.partition(": ")
                kept[name] = value
                if not line and "event" in kept:
                    self._add(kept)
                    kept = {}
                    if self.names[-1] in FINAL or self.names.count("window") == until_windows:
                        return True
        return False

    def _add(self, kept: dict[str, str]) -> None:
        self.last_id = kept["id"]
        self.events.append((int(kept["id"]), kept["event"], json.loads(kept["data"])))


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    settings = {
        "WHISPERFLEET_CALLBACKS_ALLOW_PRIVATE": "true",
        "STUB_DELAY_MS": "400",
        "STUB_ENDLESS_PROMPT": ENDLESS,
    }
    with started_with_stub(tmp_path_factory.mktemp("up"), **settings) as running:
        yield running


@pytest.fixture
def http(up: Up) -> Iterator[httpx.Client]:
    with up.client() as client:
        yield client


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.seen.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield receiver
        server.shutdown()
        thread.join()


def submit(http: httpx.Client, audio: bytes, key: str = "", **form: str) -> str:
    headers = {"Idempotency-Key": key} if key else {}
    answer = http.post("/v1/jobs", files={"file": ("a.wav", audio)}, data=form, headers=headers)
    assert answer.status_code == 202, answer.text
    return str(answer.headers["Location"])


def finished(http: httpx.Client, job: str) -> dict[str, object]:
    # A gateway that still reads its queue answers 503, without a state.
    until(lambda: http.get(job).json().get("state") in FINAL, LIMIT_S)
    state: dict[str, object] = http.get(job).json()
    return state


def test_worker_planner_and_gateway_killed_in_turn_leave_one_whole_transcript(up: Up, http: httpx.Client) -> None:
    follower = Follower(http, submit(http, speech_like(phrases=20)))
    for windows, part in enumerate(("worker", "planner", "gateway"), start=1):
        follower.follow(until_windows=windows)
        os.kill(up.part(f"whisper_dispatcher.{part}"), signal.SIGKILL)
    follower.follow()
    assert follower.names[-1] == "completed"
    total = follower.names.count("window")
    assert total >= 7
    assert sorted(data["window"] for _, name, data in follower.events if name == "window") == list(range(total))
    result = http.get(f"{follower.job}/result").json()
    assert result["text"].split() == WORDS.split() * total
    for part in ("worker", "planner", "gateway"):
        assert f"{part} was killed by SIGKILL" in up.output


def test_a_stream_of_events_resumes_without_repeats(http: httpx.Client) -> None:
    follower = Follower(http, submit(http, speech_like(phrases=8)))
    follower.follow(until_windows=1)
    assert follower.names == ["accepted", "planned", "window"]
    follower.follow()
    ids = [number for number, _, _ in follower.events]
    assert ids == sorted(set(ids))
    whole = Follower(http, follower.job)
    whole.follow()
    assert follower.events == whole.events


def test_an_idempotency_key_names_one_job_for_good(http: httpx.Client) -> None:
    audio = as_wav(tone(2.0))
    first = submit(http, audio, key="order 17")
    assert submit(http, audio, key="order 17") == first
    assert finished(http, first)["state"] == "completed"
    assert submit(http, audio, key="order 17") == first
    assert submit(http, audio, key="order 18") != first


def test_an_identical_upload_joins_the_job_only_while_it_runs(http: httpx.Client) -> None:
    audio = as_wav(tone(2.0))
    first = submit(http, audio, prompt=ENDLESS)
    assert submit(http, audio, prompt=ENDLESS) == first
    assert http.delete(first).json()["state"] == "cancelled"
    again = submit(http, audio, prompt=ENDLESS)
    assert again != first
    http.delete(again)
    done = submit(http, audio)
    assert finished(http, done)["state"] == "completed"
    assert submit(http, audio) != done


def test_a_webhook_tells_of_the_end_signed_with_the_clients_secret(up: Up, receiver: Receiver) -> None:
    created = up.command("clients", "create", "shop")
    secret = re.search(r"whsec_(\S+)", created.stderr)
    assert secret
    with httpx.Client(
        base_url=up.wait_ready()["url"], headers={"X-API-Key": created.stdout.strip()}, timeout=60
    ) as http:
        job = submit(http, as_wav(tone(2.0)), callback_url=receiver.url)
        until(lambda: bool(receiver.seen), LIMIT_S)
        assert finished(http, job)["state"] == "completed"
    headers, body = receiver.seen[0]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = hmac.new(base64.b64decode(secret[1]), signed, hashlib.sha256).digest()
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(expected).decode()}"
    assert json.loads(body)["data"]["id"] == job.rpartition("/")[2]


def test_cancelling_a_running_window_frees_its_server(up: Up, http: httpx.Client) -> None:
    """The window ends only when its request is closed, and there is one server."""
    job = submit(http, as_wav(tone(2.0)), prompt=ENDLESS)
    metrics = up.noted["worker_probe_url"] + "/metrics"
    until(lambda: "whisperfleet_servers_busy 1.0" in httpx.get(metrics, timeout=60).text, LIMIT_S)
    assert http.delete(job).json()["state"] == "cancelled"
    answer = http.post("/transcribe", files={"file": ("b.wav", as_wav(tone(3.0)))})
    assert answer.json() == {"transcription": WORDS}
