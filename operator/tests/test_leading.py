"""Two whole operators, one API server as strict as the real one, one real nats-server: one writes, the other follows."""

import asyncio
import time
from contextlib import asynccontextmanager

import pytest
from operator_replicas import LIMIT_S, PLACE, TIMING, is_served, leader, replicas, until
from whisper_client_objects import client_body
from whisper_server_objects import body

from whisper_operator import leadership
from whisper_operator.cluster import ApiError, NotLeading
from whisper_operator.leadership import Leadership
from whisper_operator.resources import LEASES, SERVICES


def lose_a_child(cluster):
    gone = cluster.objects.pop(("Service", "speech", "demo"))
    cluster._tell("DELETED", gone)


async def test_one_of_two_writes_and_the_other_only_looks(cluster, queue_url):
    async with replicas(cluster, queue_url, "a", "b") as operators:
        await until(lambda: is_served(cluster))
        first, second = sorted(operators, key=lambda each: not each.written)
        assert second.written == []
        assert (first.runner.waits_for(), second.runner.waits_for()) == (None, None)
        assert second.runner.stall(0.0) is None


async def test_of_two_models_on_a_queue_the_older_servers_is_served_whichever_is_listed_first(cluster, queue_url):
    older = cluster.objects.pop(("WhisperServer", "speech", "demo"))
    other = {"model": {"name": "tiny.en"}, "queue": {"name": "demo.en"}}
    cluster.hold(body(other, name="late", uid="u-2"))
    cluster.objects["WhisperServer", "speech", "late"]["metadata"]["creationTimestamp"] = "2026-02-01T00:00:00Z"
    cluster.hold(older)
    async with replicas(cluster, queue_url, "a") as (operator,):
        await until(lambda: is_served(cluster))
        await until(lambda: ("status", "WhisperServer", "late") in operator.written)
        told = cluster.objects["WhisperServer", "speech", "late"]["status"]["conditions"]
        assert {each["type"]: each["reason"] for each in told}["Ready"] == "QueueTaken"
        assert [write for write in operator.written if write[0] == "apply" and write[2].startswith("late")] == []


async def test_one_told_to_stop_hands_over_at_once(cluster, queue_url):
    async with replicas(cluster, queue_url, "a") as (first,):
        await until(lambda: is_served(cluster))
        async with replicas(cluster, queue_url, "b") as (second,):
            await until(lambda: second.runner.waits_for() is None)
            await first.stop()
            stopped_at = time.monotonic()
            assert leader(cluster) is None
            lose_a_child(cluster)
            await until(lambda: ("Service", "speech", "demo") in cluster.objects)
            assert leader(cluster) == "b"
            assert time.monotonic() - stopped_at < TIMING.expires_s


async def test_one_that_hears_nothing_more_is_replaced_and_has_stopped_before(cluster, queue_url):
    async with replicas(cluster, queue_url, "a") as (first,):
        await until(lambda: is_served(cluster))
        async with replicas(cluster, queue_url, "b") as (second,):
            first.client.cut.set()
            lose_a_child(cluster)
            await until(lambda: leader(cluster) == "b")
            assert not first.runner._leadership.holds()
            await until(lambda: ("Service", "speech", "demo") in cluster.objects)
            assert ("apply", "Service", "demo") in second.written
            first.client.cut.clear()
            written = list(first.written)
            lose_a_child(cluster)
            await until(lambda: ("Service", "speech", "demo") in cluster.objects)
            assert first.written == written
            assert leader(cluster) == "b"


async def test_one_that_is_alone_goes_on_after_the_api_server_was_away(cluster, queue_url):
    async with replicas(cluster, queue_url, "a") as (operator,):
        await until(lambda: is_served(cluster))
        operator.client.cut.set()
        await until(lambda: not operator.runner._leadership.holds())
        assert not operator._running.cancelling(), "it would take SIGTERM for the second one"
        lose_a_child(cluster)
        operator.client.cut.clear()
        await until(lambda: ("Service", "speech", "demo") in cluster.objects)
        cluster.hold(client_body(name="late", uid="c-2"))
        await until(lambda: ("Secret", "speech", "late-key") in cluster.objects)
        assert not operator._running.cancelling()


async def test_a_follower_that_may_not_read_the_lease_is_not_ready_and_says_so(cluster, queue_url):
    async def forbidden(resource, namespace, name):
        raise ApiError(403, "Forbidden", 'leases "operator" is forbidden')

    cluster.get = forbidden
    async with replicas(cluster, queue_url, "a") as (operator,):
        await until(lambda: "leases" in (operator.runner.waits_for() or ""))
        assert operator.written == []


@asynccontextmanager
async def leader_of(client):
    """A leadership that holds the Lease, with work that never ends."""
    leading = Leadership(client, PLACE, "a", TIMING)
    at_work = asyncio.Event()

    async def work():
        at_work.set()
        await asyncio.Event().wait()

    running = asyncio.create_task(leading.lead(work))
    try:
        await asyncio.wait_for(at_work.wait(), LIMIT_S)
        yield leading
    finally:
        running.cancel()
        await asyncio.wait({running})


async def test_a_process_that_was_paused_writes_nothing_before_it_knows_that_its_time_is_over(cluster, monkeypatch):
    client = cluster.another_client()
    async with leader_of(client) as leading:
        guarded = client.guarded(leading.holds)
        service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "speech"}, "spec": {}}
        await guarded.apply(SERVICES, service, force=False)
        now_s = time.monotonic()
        with monkeypatch.context() as later:
            later.setattr(leadership.time, "monotonic", lambda: now_s + TIMING.stops_s)
            with pytest.raises(NotLeading):
                await guarded.apply(SERVICES, service, force=False)


async def test_of_two_that_try_at_the_same_time_one_succeeds(cluster):
    working = []

    def contender(name):
        async def work():
            working.append(name)
            await asyncio.Event().wait()

        return asyncio.create_task(Leadership(cluster.another_client(), PLACE, name, TIMING).lead(work))

    running = [contender(name) for name in ("a", "b", "c")]
    try:
        await until(lambda: working)
        await asyncio.sleep(3 * TIMING.renew_s)
        assert working == [leader(cluster)]
    finally:
        for task in running:
            task.cancel()
        await asyncio.wait(running)


async def test_a_renewal_whose_answer_was_lost_costs_nothing(cluster):
    client = cluster.another_client()
    async with leader_of(client) as leading:
        live = await client.get(LEASES, *PLACE)
        await cluster.replace(LEASES, live | {"spec": live["spec"] | {"renewTime": "later"}})
        await asyncio.sleep(TIMING.stops_s + 0.5)
        assert leading.holds()
        assert live["spec"]["leaseTransitions"] == cluster.objects["Lease", *PLACE]["spec"]["leaseTransitions"]
    assert leader(cluster) is None
