"""What the operator's benchmark counts and notes."""

import asyncio

import pytest
from bench.figures import at_most, reported
from bench.operator import api
from bench.operator.__main__ import MEASUREMENTS, chosen
from bench.operator.observer import Observer

METRICS = """
# HELP apiserver_request_total Counter of apiserver requests
apiserver_request_total{code="201",resource="services",subresource="",verb="APPLY"} 3
apiserver_request_total{code="200",resource="services",subresource="",verb="APPLY"} 2
apiserver_request_total{code="200",resource="services",subresource="",verb="PUT"} 50
apiserver_request_total{code="200",resource="jobs",subresource="",verb="DELETE"} 1
apiserver_request_total{code="200",resource="pods",subresource="",verb="APPLY"} 9
apiserver_request_total{code="200",resource="leases",subresource="",verb="PUT"} 9
apiserver_request_total{code="200",resource="whisperservers",subresource="status",verb="PATCH"} 4
apiserver_request_total{code="0",resource="whisperservers",subresource="",verb="WATCH"} 7
"""


def test_every_write_to_our_objects_counts_and_of_their_children_those_that_only_the_operator_makes():
    requests = api.counted(METRICS)
    assert api.applied(requests) == 5
    assert api.written(requests) == {
        ("APPLY", "services", ""): 5,
        ("DELETE", "jobs", ""): 1,
        ("PATCH", "whisperservers", "status"): 4,
    }


def test_a_figure_without_a_goal_is_neither_met_nor_missed():
    assert (at_most("a", 1).is_met(1), at_most("a", 1).is_met(2), reported("a").is_met(2)) == (True, False, None)


def test_a_word_stands_for_the_figures_that_begin_with_it():
    assert chosen(["heal", "servers_2000_resync"]) == {"heal_p95_s", "servers_2000_resync_s"}
    assert chosen(["nonsense"]) == {"nonsense"}
    assert chosen([]) == set()
    assert all(goal.limit is not None for goal in MEASUREMENTS[0].goals)


class Cluster:
    """Lists nothing, and then tells of one child after another."""

    def __init__(self):
        self.events = {api.path_of(resource): asyncio.Queue() for resource in api.KINDS}

    async def send(self, method, path):
        return {"metadata": {"resourceVersion": "1"}, "items": []}

    async def watch(self, path, version):
        while True:
            yield await self.events[path].get()

    def tell(self, resource, uid, type_="ADDED"):
        owner = {"kind": "WhisperServer", "name": "demo", "controller": True}
        metadata = {"name": "demo", "uid": uid, "ownerReferences": [owner]}
        self.events[api.path_of(resource)].put_nowait((type_, {"metadata": metadata}))


@pytest.fixture
async def watched():
    cluster = Cluster()
    async with Observer(cluster) as observer:
        yield cluster, observer


async def test_a_server_is_complete_with_the_last_kind_of_child(watched):
    cluster, observer = watched
    *most, last = api.KINDS
    for resource in most:
        cluster.tell(resource, "u-1")
    await observer.seen(most[-1].kind, "demo", lambda *_: True, limit_s=5)
    assert observer.complete_s == {}
    cluster.tell(last, "u-1")
    seen_s = await observer.seen(last.kind, "demo", lambda *_: True, limit_s=5)
    assert observer.complete_s == {"demo": seen_s}
    assert set(observer.children_of("demo")) == {resource.kind for resource in api.KINDS}


async def test_what_is_awaited_is_the_first_event_for_which_it_holds(watched):
    cluster, observer = watched
    awaited = asyncio.create_task(
        observer.seen("Service", "demo", lambda type_, child: child["metadata"]["uid"] == "u-2", limit_s=5)
    )
    await asyncio.sleep(0)
    service = next(resource for resource in api.KINDS if resource.kind == "Service")
    for uid, type_ in (("u-1", "ADDED"), ("u-1", "DELETED"), ("u-2", "ADDED")):
        cluster.tell(service, uid, type_)
    await awaited
    assert observer.live["Service", "demo"]["metadata"]["uid"] == "u-2"
