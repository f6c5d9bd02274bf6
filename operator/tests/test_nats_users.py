"""Keys and users as they are made for a cluster, asked of a real nats-server that trusts them."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from pathlib import Path

import nats.errors
import pytest
from keyed_queue import OTHER, OWN, keyed_queue

from whisper_contracts import names
from whisper_dispatcher.jetstream import topology
from whisper_dispatcher.jetstream.errors import QueueUnavailable
from whisper_dispatcher.jetstream.pull import Puller
from whisper_dispatcher.jetstream.streams import JetStream
from whisper_operator import nats_keys
from whisper_operator.nats_users import (
    LIFETIME_S,
    RENEWED_EVERY_S,
    Signing,
    inbox_prefix,
    worker_credentials,
)

RENEWED = "small.en"
UID, OTHER_UID = "0c9e8f6e-1111-4222-8333-444455556666", "a0a0a0a0-1111-4222-8333-444455556666"
REFUSED_S = 0.5
"""NATS drops a forbidden request without an answer to it."""


@pytest.fixture(scope="module")
def queue(tmp_path_factory):
    with keyed_queue(tmp_path_factory.mktemp("keyed-queue")) as queue:
        yield queue


async def pulled(worker: JetStream, model: str, wait_s: float) -> bytes | None:
    puller = Puller(worker, names.WINDOWS_STREAM, names.windows_consumer(model, "bulk"))
    await puller.start()
    delivery = await puller.pull(expires_s=wait_s)
    await puller.stop()
    return delivery.data if delivery else None


async def test_a_worker_gets_the_windows_of_its_own_queue_and_of_no_other(queue):
    worker = await queue.as_worker(UID, OWN)
    try:
        assert await pulled(worker, OTHER, REFUSED_S) is None
        assert await pulled(worker, OWN, 10) == OWN.encode()
    finally:
        await worker.close()


async def test_a_worker_hears_nothing_of_what_comes_to_another_servers_inbox(queue):
    spy, victim = await queue.as_worker(OTHER_UID, OTHER), await queue.as_worker(UID, OWN)
    answering = await queue.as_anybody_among_workers()
    heard = []

    async def note(message):
        heard.append(message.data)

    try:
        await spy.client.subscribe(f"{inbox_prefix(UID)}.>", cb=note)
        own = await victim.client.subscribe(f"{inbox_prefix(UID)}.>")
        await spy.client.flush()
        await victim.client.flush()
        await answering.publish_core(f"{inbox_prefix(UID)}.reply", b"audio")
        assert (await own.next_msg(timeout=5)).data == b"audio"
        await spy.client.flush()
        assert heard == []
    finally:
        for client in (spy, victim, answering):
            await client.close()


async def test_a_worker_writes_results_and_cannot_change_streams(queue):
    worker = await queue.as_worker(UID, OWN)
    try:
        await worker.publish_once(names.window_result_subject(OWN, "client", "job", 0), b"{}")
        for forbidden in (
            names.state_subject("client", "job"),
            names.window_result_subject(OTHER, "client", "job", 0),
        ):
            with pytest.raises(QueueUnavailable):
                await asyncio.wait_for(worker.publish(forbidden, b"{}", timeout_s=REFUSED_S), 5)
    finally:
        await worker.close()


async def test_a_worker_reads_what_its_own_queues_workers_wrote_and_nothing_by_a_wildcard(queue):
    worker, operator = await queue.as_worker(UID, OWN), await queue.as_process("operator")
    try:
        own, other = (names.window_result_subject(model, "client", "job", 1) for model in (OWN, OTHER))
        for subject in (own, other):
            await operator.publish(subject, subject.encode())
        assert (await worker.get_last(names.JOURNAL_STREAM, own)).data == own.encode()
        for everybodys in (other, "whisper.jobs.*.*.window.*.*", "whisper.jobs.>"):
            question = f"$JS.API.DIRECT.GET.{names.JOURNAL_STREAM}.{everybodys}"
            assert (await operator.client.request(question, timeout=5)).data == other.encode()
            with pytest.raises(nats.errors.TimeoutError):
                await worker.client.request(question, timeout=REFUSED_S)
    finally:
        await worker.close()
        await operator.close()


@pytest.mark.parametrize(
    "forbidden",
    [
        names.state_subject("client", "victim"),
        names.record_subject("client", "victim"),
        names.window_result_subject(OTHER, "client", "victim", 0),
        "$KV.clients.hash",
    ],
)
async def test_an_answer_goes_nowhere_that_its_asker_may_not_publish_to(queue, forbidden):
    worker, operator = await queue.as_worker(UID, OWN), await queue.as_process("operator")
    own = names.window_result_subject(OWN, "client", "relay", 0)
    try:
        await worker.publish(own, b"chosen")
        await worker.client.publish(f"$JS.API.DIRECT.GET.{names.JOURNAL_STREAM}.{own}", reply=forbidden)
        await worker.client.publish(own, b"chosen", reply=forbidden)
        assert (await worker.get_last(names.JOURNAL_STREAM, own)).data == b"chosen"  # both were heard by now
        stream = "KV_clients" if forbidden.startswith("$KV") else names.JOURNAL_STREAM
        assert await operator.get_last(stream, forbidden) is None
    finally:
        await worker.close()
        await operator.close()


async def test_whatever_a_worker_may_do_its_account_reaches_no_more_of_the_queue_than_workers_need(queue):
    anybody, operator = await queue.as_anybody_among_workers(), await queue.as_process("operator")
    record, audio = names.record_subject("client", "far"), names.audio_subject("client", "far")
    try:
        for subject in (record, audio):
            await operator.publish(subject, b"far")
            with pytest.raises(QueueUnavailable):
                await anybody.publish(subject, b"near", timeout_s=REFUSED_S)
            with pytest.raises(QueueUnavailable):
                await anybody.get_last(names.JOURNAL_STREAM, subject)
            assert (await operator.get_last(names.JOURNAL_STREAM, subject)).data == b"far"
        answer = await anybody.api(f"STREAM.INFO.{names.JOURNAL_STREAM}")
        assert answer["error"]["description"] == "JetStream not enabled for account"
    finally:
        await anybody.close()
        await operator.close()


async def test_a_worker_is_told_to_stop_what_it_holds(queue):
    worker, gateway = await queue.as_worker(UID, OWN), await queue.as_process("gateway")
    heard = await worker.client.subscribe(names.CANCEL_SUBJECTS)
    try:
        async with asyncio.timeout(20):
            while not heard.pending_msgs:  # until the subscription stands
                await gateway.publish_core(names.cancel_subject("job"))
                await asyncio.sleep(0.05)
        assert (await heard.next_msg()).subject == names.cancel_subject("job")
    finally:
        await worker.close()
        await gateway.close()


async def test_a_worker_makes_no_consumer_by_an_answer(queue):
    worker, operator = await queue.as_worker(UID, OWN), await queue.as_process("operator")
    own = names.window_result_subject(OWN, "client", "relay", 1)
    spy = {"deliver_subject": f"{inbox_prefix(UID)}.spy", "ack_policy": "none"}
    asked = {"stream_name": names.JOURNAL_STREAM, "config": spy, "action": "create"}
    try:
        await worker.publish(own, json.dumps(asked).encode())
        for answer in (f"CONSUMER.CREATE.{names.JOURNAL_STREAM}", f"STREAM.DELETE.{names.HOOKS_STREAM}"):
            question = f"$JS.API.DIRECT.GET.{names.JOURNAL_STREAM}.{own}"
            await worker.client.publish(question, reply=f"$JS.API.{answer}")
        assert await worker.get_last(names.JOURNAL_STREAM, own)
        assert (await operator.api(f"CONSUMER.LIST.{names.JOURNAL_STREAM}"))["total"] == 0
        assert "config" in await operator.api(f"STREAM.INFO.{names.HOOKS_STREAM}")
    finally:
        await worker.close()
        await operator.close()


@pytest.mark.parametrize("process", ["gateway", "planner", "bot"])
async def test_no_process_but_the_operator_makes_the_pipelines_streams(queue, process):
    client = await queue.as_process(process)
    try:
        with pytest.raises(nats.errors.TimeoutError):
            await client.client.request(f"$JS.API.STREAM.DELETE.{names.JOURNAL_STREAM}", b"", timeout=REFUSED_S)
    finally:
        await client.close()


async def test_the_bot_makes_its_own_streams(queue):
    bot = await queue.as_process("bot")
    try:
        answer = await bot.api(
            "STREAM.CREATE.TELEGRAM_UPDATES", {"name": "TELEGRAM_UPDATES", "subjects": ["telegram.updates.>"]}
        )
        assert "error" not in answer
        assert await bot.publish("telegram.updates.1", b"{}") == 1
    finally:
        await bot.close()


async def test_credentials_whose_time_is_over_are_refused(queue):
    gone = worker_credentials(
        queue.signing, uid=UID, name="old", queue=OWN, now_s=time.time() - LIFETIME_S - RENEWED_EVERY_S
    )
    assert b"Authorization Violation" in await queue.answer(gone)


async def test_credentials_signed_with_other_keys_are_refused(queue):
    strange = nats_keys.new_keys(secrets.token_bytes, int(time.time()))
    forged = worker_credentials(
        Signing(queue.keys["account.pub"], strange["account-signing.seed"]),
        uid=UID,
        name="forged",
        queue=OWN,
        now_s=time.time(),
    )
    assert b"Authorization Violation" in await queue.answer(forged)


async def test_credentials_of_today_are_accepted(queue):
    found = worker_credentials(queue.signing, uid=UID, name="demo", queue=OWN, now_s=time.time())
    assert await queue.answer(found) == b"PONG\r\n"


async def test_renewed_credentials_are_taken_up_while_the_process_runs(queue, monkeypatch):
    monkeypatch.setattr("whisper_dispatcher.jetstream.credentials.CHECK_EVERY_S", 0.05)
    first, second = (
        worker_credentials(queue.signing, uid=UID, name="demo", queue=model, now_s=time.time())
        for model in (OTHER, RENEWED)
    )
    file = Path(queue.file(first))
    worker = await JetStream.connect(queue.url, name="test", credentials=str(file), inbox_prefix=inbox_prefix(UID))
    away = asyncio.Event()
    worker.on_disconnect(away.set)
    operator = await queue.as_process("operator")
    try:
        await topology.ensure_model(operator, RENEWED)
        await operator.publish(names.window_subject(RENEWED, "bulk", "client", "job", 0), b"renewed")
        assert await pulled(worker, RENEWED, REFUSED_S) is None
        file.write_text(second)
        async with asyncio.timeout(10):
            await away.wait()
            while not worker.is_connected:  # noqa: ASYNC110  nats-py offers nothing to wait for
                await asyncio.sleep(0.02)
        assert await pulled(worker, RENEWED, 10) == b"renewed"
    finally:
        await worker.close()
        await operator.close()


async def test_a_worker_tells_what_its_own_queues_servers_do_and_the_gateway_hears_it(queue):
    gateway = await queue.as_process("gateway")
    heard = await gateway.client.subscribe(names.WORKER_SUBJECTS)
    other, own = await queue.as_worker(OTHER_UID, OTHER), await queue.as_worker(UID, OWN)
    try:
        async with asyncio.timeout(20):
            while not heard.pending_msgs:  # until the subscription stands
                await other.publish_core(names.worker_subject(OWN, "pod"), b"a lie")
                await other.client.flush()
                await own.publish_core(names.worker_subject(OWN, "pod"), b"the truth")
                await asyncio.sleep(0.05)
        assert (await heard.next_msg()).data == b"the truth"
    finally:
        for each in (gateway, other, own):
            await each.close()
