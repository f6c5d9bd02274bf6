"""WhisperClients from apply to delete: an API server that is as strict as the real one, and a real nats-server."""

import asyncio

import pytest
from strict_cluster import StrictCluster
from whisper_client_objects import client_body
from whisper_server_objects import settings

from whisper_dispatcher.jobs.clients import list_clients
from whisper_operator.client_keeper import ClientKeeper
from whisper_operator.cluster import ApiError
from whisper_operator.events import Recorder
from whisper_operator.working import NotAsWanted

KEY = ("speech", "app")
SECRET = ("Secret", "speech", "app-key")


@pytest.fixture
def cluster():
    made = StrictCluster()
    made.hold(client_body())
    return made


class Operator:
    """One run of it: what it knows is what the cluster tells it."""

    def __init__(self, cluster, jetstream=None):
        self.cluster = cluster
        self.keeper = ClientKeeper(cluster, settings(), Recorder(cluster))
        if jetstream:
            self.keeper.connected(jetstream)

    async def reconcile(self):
        """Returns what was written."""
        for live in self.cluster.objects.values():
            if live["kind"] == "WhisperClient":
                self.keeper.see(live)
            else:
                self.keeper.secret_changed("stored", live)
        self.cluster.writes.clear()
        await self.keeper.reconcile(KEY)
        return list(self.cluster.writes)

    def ready(self):
        (condition,) = self.cluster.objects["WhisperClient", *KEY]["status"]["conditions"]
        return condition["status"], condition["reason"]


def edit(cluster, spec):
    cluster.hold(cluster.objects["WhisperClient", *KEY] | {"spec": spec})


async def test_a_client_gets_a_secret_a_record_and_a_status_and_then_rest(cluster, jetstream):
    operator = Operator(cluster, jetstream)
    assert [method for method, *_ in await operator.reconcile()] == ["create", "status", "create"]
    assert operator.ready() == ("True", "Registered")
    (record,) = (await list_clients(jetstream)).values()
    assert record.name == "speech/app"
    assert await operator.reconcile() == []
    assert await Operator(cluster, jetstream).reconcile() == []


async def test_other_quotas_reach_the_gateway_under_the_same_key(cluster, jetstream):
    operator = Operator(cluster, jetstream)
    await operator.reconcile()
    (hashed,) = await list_clients(jetstream)
    edit(cluster, {"quotas": {"requestsPerMinute": 7}})
    await operator.reconcile()
    assert (await list_clients(jetstream))[hashed].requests_per_minute == 7


async def test_a_rotation_cut_short_after_the_secret_is_finished_by_the_next_operator(cluster, jetstream):
    await Operator(cluster, jetstream).reconcile()
    (old,) = await list_clients(jetstream)
    edit(cluster, {"rotation": 1})
    with pytest.raises(NotAsWanted):
        await Operator(cluster).reconcile()
    assert set(await list_clients(jetstream)) == {old}
    written = await Operator(cluster, jetstream).reconcile()
    assert "merge" not in [method for method, *_ in written]
    (new,) = await list_clients(jetstream)
    assert new != old


async def test_a_rotation_never_overwrites_what_somebody_changed_meanwhile(cluster, jetstream):
    operator = Operator(cluster, jetstream)
    await operator.reconcile()
    edit(cluster, {"rotation": 1})
    cluster.hold(cluster.objects[SECRET] | {"data": cluster.objects[SECRET]["data"] | {"note": "bXk="}})
    operator.keeper.see(cluster.objects["WhisperClient", *KEY])
    with pytest.raises(Exception, match="modified"):
        await operator.keeper.reconcile(KEY)
    await operator.reconcile()
    assert cluster.objects[SECRET]["data"]["note"] == "bXk="


async def test_a_secret_whose_labels_were_taken_is_found_by_its_name(cluster, jetstream):
    await Operator(cluster, jetstream).reconcile()
    key = cluster.objects[SECRET]["data"]["key"]
    blind = Operator(cluster, jetstream)
    blind.keeper.see(cluster.objects["WhisperClient", *KEY])
    await blind.keeper.reconcile(KEY)
    assert cluster.objects[SECRET]["data"]["key"] == key
    assert blind.ready() == ("True", "Registered")


async def test_without_nats_the_object_says_so(cluster):
    operator = Operator(cluster)
    with pytest.raises(NotAsWanted):
        await operator.reconcile()
    assert operator.ready() == ("False", "QueueUnavailable")


async def test_a_secret_that_is_refused_is_told_with_its_namespace_and_what_to_do(cluster, jetstream):
    cluster.refusals["Secret"] = ApiError(403, "Forbidden", "exceeded quota: secrets")
    with pytest.raises(NotAsWanted, match=r"app-key in speech was refused: exceeded quota: secrets\. Check quotas"):
        await Operator(cluster, jetstream).reconcile()


async def test_a_deleted_client_is_revoked_and_others_stay(cluster, jetstream):
    operator = Operator(cluster, jetstream)
    await operator.reconcile()
    cluster.hold(client_body(name="other", uid="c-2"))
    operator.keeper.see(cluster.objects["WhisperClient", "speech", "other"])
    await operator.keeper.reconcile(("speech", "other"))
    gone = cluster.objects.pop(("WhisperClient", *KEY))
    running = asyncio.create_task(operator.keeper.run())
    try:
        operator.keeper.changed("removed", gone)
        async with asyncio.timeout(10):
            while len(left := await list_clients(jetstream)) > 1:  # noqa: ASYNC110  NATS has nothing to wait for
                await asyncio.sleep(0.02)
    finally:
        running.cancel()
        await asyncio.wait({running})
    assert [record.name for record in left.values()] == ["speech/other"]


async def test_nobody_is_revoked_on_the_word_of_an_operator_that_has_not_seen_all(cluster, jetstream):
    await Operator(cluster, jetstream).reconcile()
    fresh = Operator(cluster, jetstream)
    running = asyncio.create_task(fresh.keeper.run())
    try:
        await asyncio.sleep(0.3)
    finally:
        running.cancel()
        await asyncio.wait({running})
    assert len(await list_clients(jetstream)) == 1
