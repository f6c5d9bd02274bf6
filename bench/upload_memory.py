"""upload_memory_growth_mb: what the gateway's resident memory grows by while it takes one upload of 1 GB."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from bench import audio, fleet
from bench.figures import Measured, at_most
from bench.fleet import Fleet

GOALS = (at_most("upload_memory_growth_mb", 64),)

UPLOAD_BYTES = 1_000_000_000
PIECE = bytes(range(256)) * 256
RESET_PEAK = "5"
"""Written to clear_refs, this sets the peak of the resident memory back to what it is now (man 5 proc)."""


def measure() -> Measured:
    return asyncio.run(_measure())


async def _measure() -> Measured:
    async with fleet.running(slots=1, delay_ms=0) as running:
        # What any first upload loads is no growth of this one.
        await asyncio.to_thread(running.submit, audio.long_wav(60))
        process = Path(f"/proc/{running.pid('gateway')}")
        (process / "clear_refs").write_text(RESET_PEAK)
        before_mb = _memory_mb(process, "VmRSS")
        began = time.perf_counter()
        status = await asyncio.to_thread(_upload, running)
        spent_s = time.perf_counter() - began
        peak_mb = _memory_mb(process, "VmHWM")
    details = {"before_mb": before_mb, "peak_mb": peak_mb, "status": status, "spent_s": spent_s}
    return Measured({"upload_memory_growth_mb": peak_mb - before_mb}, details)


def _upload(running: Fleet) -> int:
    boundary = secrets.token_hex(16)
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="large.bin"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode()
    tail = f"\r\n--{boundary}--\r\n".encode()
    length = len(head) + UPLOAD_BYTES + len(tail)
    headers = running.headers | {
        "Content-Type": f"multipart/form-data; boundary={boundary}",
        "Content-Length": str(length),
    }
    status, body = fleet.exchange(running.port, "POST", "/v1/jobs", body=_body(head, tail), headers=headers)
    if status != 202:
        raise RuntimeError(f"the upload was answered with {status}: {body[:300]!r}")
    return status


def _body(head: bytes, tail: bytes) -> Iterator[bytes]:
    """Made on the way: the sender holds no gigabyte either."""
    yield head
    left = UPLOAD_BYTES
    while left:
        piece = PIECE[: min(left, len(PIECE))]
        left -= len(piece)
        yield piece
    yield tail


def _memory_mb(process: Path, field: str) -> float:
    for line in (process / "status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError(f"{process}/status has no {field}; this figure needs Linux")
