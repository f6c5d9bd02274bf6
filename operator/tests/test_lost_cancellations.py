"""nats-py may lose a cancellation; what loops over its calls must end all the same, or another operator waits in vain."""

import asyncio

import pytest
from nats.aio.client import Client
from strict_cluster import StrictCluster
from whisper_server_objects import server, settings

from whisper_dispatcher.jetstream.streams import JetStream
from whisper_operator.client_keeper import ClientKeeper
from whisper_operator.events import Recorder
from whisper_operator.queue_keeper import QueueKeeper
from whisper_operator.scaling import Load
from whisper_operator.work_queue import KeyedQueue
from whisper_operator.working import Workers

LIMIT_S = 5.0


class DeafQueue:
    """Stands for every call of nats-py that was just answered when it was cancelled."""

    def __init__(self):
        self.asked = asyncio.Event()

    async def _answer(self):
        self.asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return

    async def write(self, records):
        await self._answer()

    async def owned(self, owner):
        return set()

    async def owners(self):
        await self._answer()
        return set()

    async def load(self, name):
        await self._answer()
        return Load()

    async def reconcile(self, key):
        await self._answer()


def queue_keeper():
    cluster = StrictCluster()
    keeper = QueueKeeper(cluster, settings(scale_every_s=0.01), {}, Recorder(cluster), lambda key: None)
    keeper.see(("speech", "demo"), server())
    return keeper


def client_keeper(deaf):
    cluster = StrictCluster()
    keeper = ClientKeeper(cluster, settings(), Recorder(cluster))
    keeper._registry = deaf
    return keeper


def worker(deaf):
    queue = KeyedQueue()
    queue.add(("speech", "demo"))
    return Workers("WhisperServer", queue, deaf.reconcile)


LOOPS = {
    "records": lambda deaf: queue_keeper()._keep_records(deaf),
    "loads": lambda deaf: queue_keeper()._watch_loads(deaf),
    "clients": lambda deaf: client_keeper(deaf)._keep_records(),
    "worker": lambda deaf: worker(deaf).run(),
}


@pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS)
async def test_a_loop_ends_though_its_call_lost_the_cancellation(loop):
    deaf = DeafQueue()
    running = asyncio.create_task(loop(deaf))
    await asyncio.wait_for(deaf.asked.wait(), LIMIT_S)
    running.cancel()
    done, _ = await asyncio.wait({running}, timeout=LIMIT_S)
    assert done == {running} and running.cancelled()


async def test_a_connection_made_too_late_is_closed_again(monkeypatch):
    deaf = DeafQueue()
    closed = asyncio.Event()

    async def connect(client, *arguments, **options):
        await deaf._answer()

    async def close(client):
        closed.set()

    monkeypatch.setattr(Client, "connect", connect)
    monkeypatch.setattr(Client, "close", close)
    running = asyncio.create_task(JetStream.connect("nats://127.0.0.1:1", name="test"))
    await asyncio.wait_for(deaf.asked.wait(), LIMIT_S)
    running.cancel()
    done, _ = await asyncio.wait({running}, timeout=LIMIT_S)
    assert done == {running} and running.cancelled() and closed.is_set()
