"""What a role's NATS user may do, asked of a real nats-server with the configuration that `up` writes."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest
from gateway_harness import NatsServer

from whisper_contracts import names
from whisper_dispatcher.jetstream import topology
from whisper_dispatcher.jetstream.errors import QueueUnavailable
from whisper_dispatcher.jetstream.pull import Puller
from whisper_dispatcher.jetstream.streams import JetStream, connected
from whisper_dispatcher.jetstream.topology import Limits
from whisper_dispatcher.local.nats_server import (
    ROLES,
    DiskTooFull,
    Role,
    limits_for_disk,
    server_config,
    syncs_every_write,
)
from whisper_dispatcher.local.tools import nats_server_path
from whisper_dispatcher.loopback import free_port

OWN, OTHER = "demo.en", "base.en"
PASSWORDS: dict[Role, str] = {role: f"secret-of-{role}" for role in ROLES}
GIB = 1024**3
REFUSED_S, ANSWERED_S = 0.5, 20.0
"""NATS drops a forbidden request without an answer to it."""

WRITTEN = (names.window_result_subject, names.attempt_subject, names.failure_subject)

Connect = Callable[[Role], Awaitable[JetStream]]
MakeSubject = Callable[[str, str, str, int], str]


@dataclass(frozen=True)
class Server:
    url: str


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder, port = tmp_path_factory.mktemp("queue"), free_port()
    limits = limits_for_disk(4 * GIB)
    config = folder / "nats.conf"
    config.write_text(
        server_config(port=port, store=folder / "store", limits=limits, passwords=PASSWORDS, models=(OWN,))
    )
    process = subprocess.Popen([nats_server_path(), "--config", config], stderr=subprocess.DEVNULL)
    try:
        running = Server(f"nats://127.0.0.1:{port}")
        asyncio.run(prepare(running, limits))
        yield running
    finally:
        process.kill()
        process.wait()


async def prepare(server: Server, limits: Limits) -> None:
    admin = await JetStream.connect(server.url, name="admin", user="admin", password=PASSWORDS["admin"])
    await topology.ensure_streams(admin, limits)
    for model in (OWN, OTHER):
        await topology.ensure_model(admin, model)
    await admin.close()


@pytest.fixture
async def connect(server: Server) -> AsyncIterator[Connect]:
    opened: list[JetStream] = []

    async def connect_as(role: Role) -> JetStream:
        opened.append(await JetStream.connect(server.url, name=role, user=role, password=PASSWORDS[role]))
        return opened[-1]

    yield connect_as
    for jetstream in opened:
        await jetstream.close()


async def may_publish(jetstream: JetStream, subject: str, limit_s: float = ANSWERED_S) -> bool:
    try:
        await jetstream.publish(subject, b"{}", timeout_s=limit_s)
    except QueueUnavailable:
        return False
    return True


async def may_ask(jetstream: JetStream, subject: str, body: bytes = b"{}", limit_s: float = ANSWERED_S) -> bool:
    try:
        await jetstream.client.request(f"$JS.API.{subject}", body, timeout=limit_s)
    except TimeoutError:
        return False
    return True


async def may_hear(listener: JetStream, speaker: JetStream, subject: str) -> bool:
    heard, own = asyncio.Event(), asyncio.Event()

    async def on_message(_: object) -> None:
        heard.set()

    async def on_own(_: object) -> None:
        own.set()

    inbox = listener.client.new_inbox()
    await listener.client.subscribe(subject.rpartition(".")[0] + ".>", cb=on_message)
    await listener.client.subscribe(inbox, cb=on_own)
    await listener.client.flush()
    # Again until it is heard: nats-py's flush may overtake the subscription.
    async with asyncio.timeout(30):
        while not own.is_set():
            await speaker.publish_core(subject, b"audio")
            # One speaker's messages come in order: after this one nothing more is to be expected.
            await speaker.publish_core(inbox, b"")
            with suppress(TimeoutError):
                await asyncio.wait_for(own.wait(), 0.2)
    return heard.is_set()


async def test_a_worker_pulls_its_own_queue_and_writes_its_results(connect: Connect) -> None:
    planner, worker = await connect("planner"), await connect("worker")
    await planner.publish(names.window_subject(OWN, "bulk", "c", "j1", 0), b"audio")
    puller = Puller(worker, names.WINDOWS_STREAM, names.windows_consumer(OWN, "bulk"))
    await puller.start()
    delivery = await puller.pull(expires_s=5)
    assert delivery is not None
    assert delivery.data == b"audio"
    await topology.wait_for_streams_as_worker(worker, OWN)
    written = [make(OWN, "c", "j1", 0) for make in WRITTEN]
    for subject in written:
        assert await may_publish(worker, subject)
    for subject in written[:2]:
        assert await worker.get_last(names.JOURNAL_STREAM, subject) is not None
    await delivery.ack()
    await worker.client.flush()
    admin = await connect("admin")
    assert await admin.subjects(names.WINDOWS_STREAM, names.job_windows_filter("c", "j1")) == {}


async def test_a_worker_waits_until_the_streams_are_there(tmp_path: Path) -> None:
    server = NatsServer(tmp_path)
    server.start()
    try:
        async with connected(server.url, name="test") as jetstream:
            waiting = asyncio.create_task(topology.wait_for_streams_as_worker(jetstream, OWN))
            assert await asyncio.wait({waiting}, timeout=REFUSED_S) == (set(), {waiting})
            await topology.ensure_streams(jetstream, Limits())
            await asyncio.wait_for(waiting, 10)
    finally:
        server.kill()


async def test_a_worker_pulls_no_other_models_queue(connect: Connect) -> None:
    planner, worker = await connect("planner"), await connect("worker")
    await planner.publish(names.window_subject(OTHER, "bulk", "c", "j2", 0), b"audio")
    puller = Puller(worker, names.WINDOWS_STREAM, names.windows_consumer(OTHER, "bulk"))
    await puller.start()
    assert await puller.pull(expires_s=0.2) is None


@pytest.mark.parametrize("make", WRITTEN)
async def test_a_worker_writes_nothing_in_another_queues_name(connect: Connect, make: MakeSubject) -> None:
    assert await may_publish(await connect("admin"), make(OTHER, "c", "j6", 0))
    assert not await may_publish(await connect("worker"), make(OTHER, "c", "j6", 0), limit_s=REFUSED_S)
    assert not await may_publish(
        await connect("worker"), make(OTHER, "c", "j6", 0).replace(names.token(OTHER), "*"), limit_s=REFUSED_S
    )


@pytest.mark.parametrize(
    "subject",
    [
        names.record_subject("c", "j7"),
        names.plan_result_subject("c", "j7"),
        names.state_subject("c", "j7"),
        *(make(OTHER, "c", "j7", 0) for make in WRITTEN),
    ],
)
async def test_a_worker_reads_nothing_of_others_by_a_subject_with_wildcards(connect: Connect, subject: str) -> None:
    """NATS lets a publish's subject hold `*`, and JetStream answers with the last that matches."""
    admin, worker = await connect("admin"), await connect("worker")
    await admin.publish(subject, b"a secret")
    for spelling in spellings(subject):
        assert await last_of(admin, spelling) == b"a secret"
    heard = await asyncio.gather(*(last_of(worker, spelling, REFUSED_S) for spelling in spellings(subject)))
    assert set(heard) == {None}


def spellings(subject: str) -> list[str]:
    """Every way to ask for it: each token itself or a wildcard, and all that begins like it."""
    tokens = subject.split(".")
    masked = [".".join(each) for each in product(*((token, "*") for token in tokens))]
    return masked + [".".join([*tokens[:length], ">"]) for length in range(len(tokens))]


async def last_of(jetstream: JetStream, subject: str, limit_s: float = ANSWERED_S) -> bytes | None:
    try:
        answer = await jetstream.client.request(f"$JS.API.DIRECT.GET.{names.JOURNAL_STREAM}.{subject}", timeout=limit_s)
    except TimeoutError:
        return None
    return answer.data


async def test_a_worker_learns_no_clients_and_no_jobs_from_the_journals_subjects(connect: Connect) -> None:
    question = f"STREAM.INFO.{names.JOURNAL_STREAM}", b'{"subjects_filter": ">"}'
    assert await may_ask(await connect("admin"), *question)
    assert not await may_ask(await connect("worker"), *question, limit_s=REFUSED_S)


async def test_a_worker_reads_no_audio_and_no_record(connect: Connect) -> None:
    gateway, worker = await connect("gateway"), await connect("worker")
    for subject in (names.audio_subject("c", "j3"), names.record_subject("c", "j3")):
        await gateway.publish(subject, b"{}")
        assert await may_ask(gateway, f"DIRECT.GET.{names.JOURNAL_STREAM}.{subject}")
        assert not await may_ask(worker, f"DIRECT.GET.{names.JOURNAL_STREAM}.{subject}", limit_s=REFUSED_S)
    body = json.dumps({"last_by_subj": names.audio_subject("c", "j3")}).encode()
    assert not await may_ask(worker, f"DIRECT.GET.{names.JOURNAL_STREAM}", body, limit_s=REFUSED_S)
    assert not await may_ask(worker, f"STREAM.MSG.GET.{names.JOURNAL_STREAM}", body, limit_s=REFUSED_S)


async def test_a_worker_hears_no_other_roles_answers(connect: Connect) -> None:
    worker, admin = await connect("worker"), await connect("admin")
    assert await may_hear(worker, admin, "_INBOX_worker.x")
    assert not await may_hear(worker, admin, "_INBOX_planner.x")
    assert not await may_hear(worker, admin, "_INBOX.x")


async def test_a_worker_tells_the_gateway_what_it_does_and_speaks_for_no_other_model(connect: Connect) -> None:
    gateway, worker = await connect("gateway"), await connect("worker")
    heard = await gateway.client.subscribe(names.WORKER_SUBJECTS)
    await gateway.client.flush()
    admin = await connect("admin")
    async with asyncio.timeout(30):
        while not heard.pending_msgs:  # until the subscription stands
            await worker.publish_core(names.worker_subject(OTHER, "pod-1"), b"a lie")
            await worker.publish_core(names.worker_subject(OWN, "pod-1"), b"the truth")
            await asyncio.sleep(0.05)
    assert (await heard.next_msg()).data == b"the truth"
    assert not await may_hear(worker, admin, names.worker_subject(OWN, "pod-2"))
    assert not await may_hear(await connect("planner"), admin, names.worker_subject(OWN, "pod-2"))


@pytest.mark.parametrize(
    "subject",
    [
        names.state_subject("c", "j"),
        names.record_subject("c", "j"),
        names.plan_subject("bulk", "c", "j"),
        names.window_subject(OWN, "bulk", "c", "j", 0),
        "$KV.clients.hash",
        "$KV.models.demo",
        "$O.audio.C.x",
    ],
)
async def test_a_worker_writes_nothing_but_results(connect: Connect, subject: str) -> None:
    assert await may_publish(await connect("admin"), subject)
    assert not await may_publish(await connect("worker"), subject, limit_s=REFUSED_S)


async def test_the_bot_keeps_its_own_streams_and_reads_no_others(connect: Connect) -> None:
    bot, admin = await connect("bot"), await connect("admin")
    config = {"name": "TELEGRAM", "subjects": ["telegram.notes.>"], "allow_direct": True}
    assert "config" in await bot.api("STREAM.CREATE.TELEGRAM", config)
    assert await may_publish(bot, "telegram.notes.1.2")
    assert await may_ask(bot, "DIRECT.GET.TELEGRAM.telegram.notes.1.2")
    await admin.publish(names.record_subject("c", "j5"), b"{}")
    assert not await may_ask(
        bot, f"DIRECT.GET.{names.JOURNAL_STREAM}.{names.record_subject('c', 'j5')}", limit_s=REFUSED_S
    )
    assert not await may_ask(bot, f"STREAM.CREATE.{names.JOURNAL_STREAM}", b'{"name": "JOURNAL"}', limit_s=REFUSED_S)
    assert not await may_publish(bot, names.plan_subject("bulk", "c", "j5"), limit_s=REFUSED_S)


@pytest.mark.parametrize("role", ["gateway", "planner", "worker", "bot"])
async def test_no_process_gives_itself_keys_or_changes_streams(connect: Connect, role: Role) -> None:
    jetstream = await connect(role)
    assert not await may_publish(jetstream, "$KV.clients.hash", limit_s=REFUSED_S)
    assert not await may_ask(jetstream, f"STREAM.DELETE.{names.HOOKS_STREAM}", limit_s=REFUSED_S)
    assert not await may_ask(jetstream, f"STREAM.UPDATE.{names.JOURNAL_STREAM}", limit_s=REFUSED_S)
    assert not await may_ask(
        jetstream, f"CONSUMER.DELETE.{names.WINDOWS_STREAM}.{names.windows_consumer(OWN, 'bulk')}", limit_s=REFUSED_S
    )


async def test_the_planner_pulls_plans_and_the_gateway_does_not(connect: Connect) -> None:
    gateway, planner = await connect("gateway"), await connect("planner")
    await gateway.publish(names.plan_subject("interactive", "c", "j4"), b"{}")
    pulled = []
    for jetstream in (gateway, planner):
        puller = Puller(jetstream, names.PLAN_STREAM, names.plan_consumer("interactive"))
        await puller.start()
        pulled.append(await puller.pull(expires_s=0.5))
    assert [delivery is not None for delivery in pulled] == [False, True]


async def test_what_is_acknowledged_is_on_disk(server: Server) -> None:
    assert await syncs_every_write(server.url, PASSWORDS["system"])


@pytest.mark.parametrize("free_gib", [2, 10, 1000])
def test_the_queue_leaves_room_on_the_disk(free_gib: int) -> None:
    limits = limits_for_disk(free_gib * GIB)
    assert limits.store_bytes < free_gib * GIB * 0.8
    assert limits.journal_bytes > 100 * 1024**2


def test_a_large_disk_gives_the_full_limits() -> None:
    assert limits_for_disk(1000 * GIB) == Limits()


def test_a_disk_that_is_too_small_is_refused_with_what_is_needed() -> None:
    with pytest.raises(DiskTooFull, match="needs 877 MB of free disk, and there are 500 MB"):
        limits_for_disk(500 * 1024**2)


def test_passwords_with_quotes_cannot_break_the_configuration() -> None:
    passwords: dict[Role, str] = dict.fromkeys(ROLES, 'a"b\\c $d')
    text = server_config(port=1, store=Path("/s"), limits=Limits(), passwords=passwords, models=())
    assert json.loads(text)["accounts"]["SPEECH"]["users"][0]["password"] == 'a"b\\c $d'
