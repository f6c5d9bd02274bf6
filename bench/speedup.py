"""speedup_N: one long file on N servers of 300 ms a window. busy_share: how much of its time one of them works."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import datetime
from typing import Any

from bench import audio, fleet
from bench.figures import Measured, at_least
from whisper_contracts.messages import Plan
from whisper_dispatcher.jetstream.streams import Stored

SERVERS = (1, 2, 4, 8)
GOALS = (*(at_least(f"speedup_{n}", 0.9 * n) for n in SERVERS), at_least("busy_share", 0.97))

STUB_MS = 300
DURATION_S = 2400
LIMIT_S = 300


def measure() -> Measured:
    return asyncio.run(_measure())


async def _measure() -> Measured:
    file = audio.long_wav(DURATION_S)
    values: dict[str, float] = {}
    details: dict[str, Any] = {"stub_ms": STUB_MS, "recording_s": DURATION_S}
    for count in SERVERS:
        async with fleet.running(slots=count, delay_ms=STUB_MS) as running:
            began = time.perf_counter()
            job = await asyncio.to_thread(running.submit, file)
            await asyncio.to_thread(_until_done, running, job)
            upload_to_text_s = time.perf_counter() - began
            journal = await running.journal(job)
        windows = len(Plan.decode(journal["plan"].data).windows)
        spent_s = stored_at(journal["state"]) - stored_at(journal["plan"])
        values[f"speedup_{count}"] = windows * STUB_MS / 1000 / spent_s
        details[f"servers_{count}"] = {"windows": windows, "spent_s": spent_s, "upload_to_text_s": upload_to_text_s}
        if count == 1:
            values["busy_share"] = _busy_share(journal)
    return Measured(values, details)


def _busy_share(journal: dict[str, Stored]) -> float:
    """Between the first result and the last, the stub worked 300 ms for each but the first."""
    ends = sorted(stored_at(stored) for kind, stored in journal.items() if kind.startswith("window."))
    return (len(ends) - 1) * STUB_MS / 1000 / (ends[-1] - ends[0])


def stored_at(stored: Stored) -> float:
    """Unix seconds, by the queue's clock."""
    text = stored.headers["Nats-Time-Stamp"]
    whole, _, fraction = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{whole}+00:00").timestamp() + float(f"0.{fraction or 0}")


def _until_done(running: fleet.Fleet, job: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        state = json.loads(running.get(f"/v1/jobs/{job}")[1])
        if state["state"] in ("completed", "failed"):
            return
        time.sleep(0.1)
    raise RuntimeError(f"the job was not done after {LIMIT_S} s: {state}")
