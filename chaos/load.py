"""The load: every recording once in peace, then many uploads while something is killed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from chaos import observation
from chaos.client import Client, Upload
from chaos.recordings import Recording

UNDISTURBED_LIMIT_S = 240.0
MOST = 0.8
"""Of the jobs are done while processes are killed; the last ones in peace, or there would never be an end."""
DISTURBED_LIMIT_S = 150.0
"""After the last upload."""


async def undisturbed(client: Client, known: Mapping[str, Recording]) -> dict[str, str]:
    """The text of each recording, by its name."""
    sent = [Upload(f"undisturbed-{name}", recording, recording.data) for name, recording in known.items()]
    await asyncio.gather(*(client.send(upload) for upload in sent))
    await observation.most_final(client, 1.0, UNDISTURBED_LIMIT_S)
    texts: dict[str, str] = {}
    for upload in sent:
        text = await client.text(min(upload.answered_ids)) if upload.answered_ids else None
        if text is None:
            raise RuntimeError(f"{upload.recording.name} could not be transcribed before anything was killed.")
        texts[upload.recording.name] = text
    return texts


async def disturbed(
    client: Client, sent: Sequence[Upload], disturb: Callable[[int, asyncio.Event], Awaitable[None]], *, seed: int
) -> None:
    """disturb: with the seed, until there was enough."""
    enough = asyncio.Event()
    killing = asyncio.ensure_future(disturb(seed, enough))
    try:
        await client.send_all(sent, seed=seed)
        await observation.most_final(client, MOST, DISTURBED_LIMIT_S)
        enough.set()
        await killing
    finally:
        killing.cancel()
        await asyncio.gather(killing, return_exceptions=True)
