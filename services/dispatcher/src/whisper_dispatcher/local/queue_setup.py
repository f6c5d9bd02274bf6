"""What a queue of one machine needs before anybody uses it: streams, and the one model it serves."""

from __future__ import annotations

import time

from whisper_contracts import names
from whisper_contracts.messages import ModelRecord
from whisper_dispatcher.jetstream import buckets, topology
from whisper_dispatcher.jetstream.streams import JetStream
from whisper_dispatcher.jetstream.topology import Limits


async def prepare(jetstream: JetStream, limits: Limits, model: str) -> None:
    """May be repeated, as at an upgrade."""
    await topology.ensure_streams(jetstream, limits)
    await topology.ensure_model(jetstream, model)
    await _register_model(jetstream, model)


def model_record(model: str, at: float) -> ModelRecord:
    """The one model of this machine; the names that OpenAI's clients send mean it too."""
    return ModelRecord(
        name=model,
        aliases=("whisper-1",),
        languages=("en",) if model.endswith(".en") else (),
        default=True,
        created_at=at,
    )


async def _register_model(jetstream: JetStream, model: str) -> None:
    """A model of an earlier start is taken out: no worker serves it, and its jobs would wait for ever."""
    for key in await buckets.entries(jetstream, names.MODELS_BUCKET):
        if key != names.token(model):
            await buckets.delete(jetstream, names.MODELS_BUCKET, key)
    await buckets.put(jetstream, names.MODELS_BUCKET, names.token(model), model_record(model, time.time()).encode())
