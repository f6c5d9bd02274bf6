from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import pytest
from gateway_harness import until
from journal_harness import Book, book
from webhook_receiver import Receiver, listening

from whisper_contracts import names
from whisper_contracts.failures import FailureReason
from whisper_contracts.messages import ClientRecord, HookTask
from whisper_dispatcher.jetstream import buckets, topology
from whisper_dispatcher.jetstream.streams import JetStream
from whisper_dispatcher.jetstream.tail import Tail
from whisper_dispatcher.jobs import journal
from whisper_dispatcher.jobs.index import JobIndex, JobView
from whisper_dispatcher.planner import hooks
from whisper_dispatcher.planner.hooks import (
    HookSender,
)

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with listening() as receiver:
        yield receiver


@pytest.fixture
async def jobs(jetstream: JetStream) -> AsyncIterator[Book]:
    async with book(jetstream) as opened:
        record = ClientRecord(client=opened.client, name="tester", webhook_secret=SECRET)
        await buckets.put(jetstream, names.CLIENTS_BUCKET, opened.client, record.encode())
        yield opened


@asynccontextmanager
async def sender(jobs: Book, *, allow_private: bool = True, index: JobIndex | None = None) -> AsyncIterator[None]:
    task = asyncio.create_task(HookSender(jobs.jetstream, index or jobs.index, allow_private).run())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def queue_hook(jobs: Book, view: JobView, url: str, generation: int = 0) -> None:
    task = HookTask(job=view.job, client=jobs.client, url=url, generation=generation)
    await jobs.jetstream.publish(names.hook_subject(jobs.client, view.job), task.encode())


async def completed(jobs: Book) -> JobView:
    view = await jobs.accept()
    assert await journal.complete(jobs.jetstream, view)
    assert await jobs.index.wait_final(view.job, 30)
    return view


async def hooks_consumer(jobs: Book) -> dict[str, Any]:
    return await jobs.jetstream.api(f"CONSUMER.INFO.{names.HOOKS_STREAM}.hooks")


async def nothing_queued(jobs: Book) -> None:
    async with asyncio.timeout(60):
        while await jobs.jetstream.subjects(names.HOOKS_STREAM, names.HOOKS_SUBJECTS):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_a_webhook_is_delivered_once_and_its_signature_verifies(jobs: Book, receiver: Receiver) -> None:
    view = await completed(jobs)
    async with sender(jobs):
        await queue_hook(jobs, view, receiver.url())
        await nothing_queued(jobs)
    ((target, headers, body),) = receiver.seen
    assert target == "/hook?a=1"
    assert headers["host"] == f"127.0.0.1:{receiver.port}"
    event = json.loads(body)
    assert (event["type"], event["data"]["id"], event["data"]["state"]) == ("job.completed", view.job, "completed")
    assert headers["webhook-id"] == f"{view.job}-0-0"
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    # As the receiver computes it, from the standard's text.
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.digest(base64.b64decode(SECRET[6:]), signed, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


@pytest.fixture
def soon_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the first try took."""
    monkeypatch.setattr(hooks, "DELAYS_S", (0.5,) * 120)


@pytest.mark.usefixtures("soon_again")
async def test_after_an_error_it_comes_again_under_the_same_id(jobs: Book, receiver: Receiver) -> None:
    receiver.statuses = [500]
    view = await completed(jobs)
    async with sender(jobs):
        await queue_hook(jobs, view, receiver.url())
        await nothing_queued(jobs)
    ids = [headers["webhook-id"] for _, headers, _ in receiver.seen]
    assert ids == [f"{view.job}-0-0"] * 2


@pytest.mark.usefixtures("soon_again")
async def test_a_redirect_is_a_failure_and_is_not_followed(jobs: Book, receiver: Receiver) -> None:
    receiver.statuses = [302]
    view = await completed(jobs)
    async with sender(jobs):
        await queue_hook(jobs, view, receiver.url())
        await nothing_queued(jobs)
    assert [target for target, _, _ in receiver.seen] == ["/hook?a=1"] * 2


async def test_a_host_may_have_letters_of_any_language(
    jobs: Book, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was accepted, and no try could succeed."""
    look_up = socket.getaddrinfo

    def known(host: str, *args: Any, **options: Any) -> Any:
        return look_up("127.0.0.1" if host == "xn--e1afmkfd.xn--p1ai" else host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", known)
    view = await completed(jobs)
    async with sender(jobs):
        await queue_hook(jobs, view, f"http://пример.рф:{receiver.port}/hook")
        await until(lambda: len(receiver.seen) == 1, limit_s=10)
        await nothing_queued(jobs)
    assert receiver.seen[0][1]["host"] == f"xn--e1afmkfd.xn--p1ai:{receiver.port}"


async def test_an_address_that_is_not_public_is_refused(jobs: Book, receiver: Receiver) -> None:
    view = await completed(jobs)
    async with sender(jobs, allow_private=False):
        for host in ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"):
            await queue_hook(jobs, view, f"http://{host}:{receiver.port}/")
        await nothing_queued(jobs)
    assert receiver.seen == []


async def test_it_waits_for_the_jobs_final_state(jobs: Book, receiver: Receiver) -> None:
    view = await jobs.accept()
    async with sender(jobs):
        await queue_hook(jobs, view, receiver.url())
        await asyncio.sleep(0.3)
        assert receiver.seen == []
        assert await journal.complete(jobs.jetstream, view)
        await nothing_queued(jobs)
    assert len(receiver.seen) == 1


async def test_a_planner_behind_the_journal_keeps_the_webhook(
    jobs: Book, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that it had not heard of was taken for erased, and its webhook for settled."""
    monkeypatch.setattr(hooks, "STATE_WAIT_S", 0.1)
    monkeypatch.setattr(hooks, "LOOK_AGAIN_S", 0.1)
    view = await completed(jobs)
    behind = JobIndex()
    tail = Tail(jobs.jetstream, names.JOURNAL_STREAM, [names.job_filter(jobs.client, "*")], behind.apply)
    async with sender(jobs, index=behind):
        await queue_hook(jobs, view, receiver.url())
        async with asyncio.timeout(15):
            while not (await hooks_consumer(jobs))["num_redelivered"]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert receiver.seen == []
        await tail.start()
        await nothing_queued(jobs)
        await tail.stop()
    assert [headers["webhook-id"] for _, headers, _ in receiver.seen] == [f"{view.job}-0-0"]


async def failed(jobs: Book) -> JobView:
    view = await jobs.accept()
    assert await journal.fail(jobs.jetstream, view, FailureReason.SERVER_ERROR, "It broke.")
    assert await jobs.index.wait_final(view.job, 30)
    return view


async def test_a_webhook_of_a_job_that_was_requeued_is_dropped(jobs: Book, receiver: Receiver) -> None:
    """It came round until the job was completed, and told that a second time."""
    view = await failed(jobs)
    assert await journal.requeue(jobs.jetstream, view)
    await until(lambda: not view.is_final)
    async with sender(jobs):
        await queue_hook(jobs, view, receiver.url())
        await nothing_queued(jobs)
        await queue_hook(jobs, view, receiver.url(), generation=1)
        assert await journal.complete(jobs.jetstream, view)
        await nothing_queued(jobs)
    assert [headers["webhook-id"] for _, headers, _ in receiver.seen] == [f"{view.job}-0-1"]


async def test_a_planner_that_has_not_heard_of_a_requeue_keeps_its_webhook(
    jobs: Book, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It told the failure of before in its place, and nobody the completion."""
    monkeypatch.setattr(hooks, "STATE_WAIT_S", 0.1)
    monkeypatch.setattr(hooks, "LOOK_AGAIN_S", 0.1)
    view = await failed(jobs)
    before = (await hooks_consumer(jobs))["delivered"]["consumer_seq"]
    async with sender(jobs):
        await queue_hook(jobs, view, receiver.url(), generation=1)
        async with asyncio.timeout(15):
            while (await hooks_consumer(jobs))["delivered"]["consumer_seq"] < before + 2:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert receiver.seen == []
        assert await journal.requeue(jobs.jetstream, view)
        await until(lambda: not view.is_final)
        assert await journal.complete(jobs.jetstream, view)
        await nothing_queued(jobs)
    assert [json.loads(body)["type"] for _, _, body in receiver.seen] == ["job.completed"]


async def test_a_webhook_of_an_erased_job_is_dropped(
    jobs: Book, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "STATE_WAIT_S", 0.1)
    view = await completed(jobs)
    await journal.erase(jobs.jetstream, view)
    await jobs.gone(view.job)
    async with sender(jobs):
        await queue_hook(jobs, view, receiver.url())
        await nothing_queued(jobs)
    assert receiver.seen == []


async def test_a_slow_receiver_holds_up_no_other(
    jobs: Book, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "REQUEST_TIMEOUT_S", 60.0)
    slow, quick = await completed(jobs), await completed(jobs)
    async with sender(jobs):
        await queue_hook(jobs, slow, receiver.url("/slow"))
        await until(lambda: len(receiver.seen) == 1)
        await queue_hook(jobs, quick, receiver.url("/quick"))
        await until(lambda: len(receiver.seen) == 2)
        receiver.held.set()
        await nothing_queued(jobs)


async def test_an_answer_that_trickles_in_is_given_up(
    jobs: Book, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The limit held for each read alone."""
    monkeypatch.setattr(hooks, "REQUEST_TIMEOUT_S", 0.5)
    view = await completed(jobs)
    async with sender(jobs):
        await queue_hook(jobs, view, receiver.url("/trickle"))
        await until(lambda: "will be tried again" in capsys.readouterr().out, limit_s=10)
    await jobs.jetstream.purge(names.HOOKS_STREAM, names.HOOKS_SUBJECTS)


async def test_the_status_is_enough_of_an_answer(jobs: Book, receiver: Receiver) -> None:
    view = await completed(jobs)
    async with sender(jobs):
        await queue_hook(jobs, view, receiver.url("/endless"))
        await nothing_queued(jobs)
    assert len(receiver.seen) == 1


async def test_one_clients_hanging_receiver_holds_up_no_other_client(
    jobs: Book, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "AT_A_TIME", 4)
    monkeypatch.setattr(hooks, "OF_ONE_CLIENT", 2)
    monkeypatch.setattr(hooks, "REQUEST_TIMEOUT_S", 60.0)
    everybody = JobIndex()
    tail = Tail(jobs.jetstream, names.JOURNAL_STREAM, [names.JOB_SUBJECTS], everybody.apply)
    await tail.start()
    async with book(jobs.jetstream) as others, sender(jobs, index=everybody):
        for number in range(6):
            await queue_hook(jobs, await completed(jobs), receiver.url(f"/slow{number}"))
        await until(lambda: len(receiver.seen) == 2)
        await queue_hook(others, await completed(others), receiver.url("/quick"))
        await until(lambda: len(receiver.seen) == 3)
        assert receiver.seen[-1][0] == "/quick"
        # Those that were put off are sent, too.
        receiver.held.set()
        await nothing_queued(jobs)
    await tail.stop()
    assert len({target for target, _, _ in receiver.seen}) == 7


async def test_a_slow_receiver_is_not_called_twice(
    jobs: Book, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the ack wait the webhook would come to another slot."""
    monkeypatch.setattr(hooks, "IN_PROGRESS_EVERY_S", 0.2)
    monkeypatch.setattr(hooks, "REQUEST_TIMEOUT_S", 60.0)
    stream, usual = next(found for found in topology.consumers() if found[1]["durable_name"] == "hooks")
    await ensure_consumer(jobs, stream, usual | {"ack_wait": 3 * topology.NANOSECONDS})
    view = await completed(jobs)
    async with sender(jobs):
        await queue_hook(jobs, view, receiver.url("/slow"))
        await until(lambda: len(receiver.seen) == 1)
        await asyncio.sleep(5)
        receiver.held.set()
        await nothing_queued(jobs)
    await ensure_consumer(jobs, stream, usual)
    assert len(receiver.seen) == 1


async def ensure_consumer(jobs: Book, stream: str, config: dict[str, Any]) -> None:
    answer = await jobs.jetstream.api(
        f"CONSUMER.DURABLE.CREATE.{stream}.{config['durable_name']}", {"stream_name": stream, "config": config}
    )
    assert "error" not in answer


async def test_a_planner_that_ends_hands_its_webhook_to_the_next(jobs: Book, receiver: Receiver) -> None:
    view = await completed(jobs)
    async with sender(jobs):
        await queue_hook(jobs, view, receiver.url("/slow"))
        await until(lambda: len(receiver.seen) == 1)
    receiver.held.set()
    async with sender(jobs):
        await until(lambda: len(receiver.seen) == 2, limit_s=12)  # the ack wait is 15 s
        await nothing_queued(jobs)


async def test_webhooks_that_wait_for_their_next_try_shut_out_no_other(jobs: Book) -> None:
    """A consumer of before had room for so many."""
    stream, usual = next(found for found in topology.consumers() if found[1]["durable_name"] == "hooks")
    await ensure_consumer(jobs, stream, usual | {"max_ack_pending": 10_000})
    await topology.ensure_streams(jobs.jetstream, topology.Limits())
    assert (await hooks_consumer(jobs))["config"]["max_ack_pending"] == -1


async def test_a_name_server_that_hangs_holds_no_thread_of_others(
    jobs: Book, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answered = threading.Event(), threading.Event()
    look_up = socket.getaddrinfo

    def hanging(host: str, *args: Any, **options: Any) -> Any:
        if host == "hanging.example":
            asked.set()
            answered.wait()
            raise socket.gaierror
        return look_up(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    view = await completed(jobs)
    try:
        async with sender(jobs):
            await queue_hook(jobs, view, "http://hanging.example/")
            await until(asked.is_set)
            async with asyncio.timeout(5):
                await asyncio.to_thread(asked.is_set)
    finally:
        answered.set()
    await jobs.jetstream.purge(names.HOOKS_STREAM, names.HOOKS_SUBJECTS)


async def test_being_handed_back_is_no_try(
    jobs: Book, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each hand-over of a webhook whose job was not final yet counted as one of its eight."""
    monkeypatch.setattr(hooks, "STATE_WAIT_S", 0.01)
    monkeypatch.setattr(hooks, "LOOK_AGAIN_S", 0.01)
    monkeypatch.setattr(hooks, "DELAYS_S", (30.0, 0.1))
    receiver.statuses = [500]
    before = (await hooks_consumer(jobs))["delivered"]["consumer_seq"]
    view = await jobs.accept()
    async with sender(jobs):
        await queue_hook(jobs, view, receiver.url())
        async with asyncio.timeout(15):
            while (await hooks_consumer(jobs))["delivered"]["consumer_seq"] < before + 5:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert await journal.complete(jobs.jetstream, view)
        await until(lambda: "will be tried again" in capsys.readouterr().out, limit_s=5)
    assert len(receiver.seen) == 1
    await jobs.jetstream.purge(names.HOOKS_STREAM, names.HOOKS_SUBJECTS)


@pytest.mark.parametrize(
    "broken_url", ["http://no-such-host.invalid/", "http://127.0.0.1:1/", "http://exa mple\x00/", "http://[::1/"]
)
async def test_a_broken_address_is_put_off_and_ends_nothing(
    jobs: Book, receiver: Receiver, broken_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    broken, well = await completed(jobs), await completed(jobs)
    async with sender(jobs):
        await queue_hook(jobs, broken, broken_url)
        await until(lambda: "will be tried again" in capsys.readouterr().out)
        await queue_hook(jobs, well, receiver.url())
        await until(lambda: len(receiver.seen) == 1)
    await jobs.jetstream.purge(names.HOOKS_STREAM, names.HOOKS_SUBJECTS)


async def test_a_message_that_cannot_be_read_is_dropped(jobs: Book, receiver: Receiver) -> None:
    view = await completed(jobs)
    async with sender(jobs):
        await jobs.jetstream.publish(names.hook_subject(jobs.client, "junk"), b"no json")
        await queue_hook(jobs, view, receiver.url())
        await nothing_queued(jobs)
    assert len(receiver.seen) == 1
