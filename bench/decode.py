"""decode_ms: one 3 s Opus note, in the planner's cage, from a warm parent."""

from __future__ import annotations

import asyncio
import time
from statistics import median

from bench import audio, servers
from bench.figures import Measured, at_most
from whisper_dispatcher.planner.decode import Decoder

GOALS = (at_most("decode_ms", 12),)

WARM_UP = 10
REPEATS = 200
PAUSE_S = 0.05
"""Notes come one by one; in a row each would wait for the making of the decoders that follow it."""


def measure() -> Measured:
    samples_ms = asyncio.run(_decode(audio.note_opus()))
    return Measured({"decode_ms": median(samples_ms)}, {"repeats": REPEATS, "slowest_ms": max(samples_ms)})


async def _decode(note: bytes) -> list[float]:
    decoder = Decoder(max_duration_s=3600)
    await decoder.start()
    spent_ms = []
    try:
        with servers.folder() as data:
            for number in range(WARM_UP + REPEATS):
                target = data / f"{number}.pcm"
                began = time.perf_counter()
                await decoder.decode(note, target)
                spent_ms.append(1000 * (time.perf_counter() - began))
                target.unlink()
                await asyncio.sleep(PAUSE_S)
    finally:
        await decoder.close()
    return spent_ms[WARM_UP:]
