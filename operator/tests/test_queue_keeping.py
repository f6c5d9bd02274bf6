"""Which models the gateway is told of, and which servers are scaled, while servers come and go."""

import pytest
from strict_cluster import StrictCluster
from whisper_server_objects import body, settings

from whisper_operator.events import Recorder
from whisper_operator.queue_keeper import QueueKeeper
from whisper_operator.resources import key_of
from whisper_operator.scaling import Load
from whisper_operator.server import parse_server

NEVER = {"autoscaling": {"maxReplicas": 2, "schedules": [{"name": "x", "start": "0 0 30 2 *", "durationSeconds": 60}]}}


class Queue:
    """What the gateway knows of models that this operator owns."""

    def __init__(self, *owned):
        self.models = set(owned)

    async def owned(self, owner):
        return set(self.models)

    async def remove(self, names):
        self.models -= names


class Scaled(StrictCluster):
    def __init__(self):
        super().__init__()
        self.scaled = []
        self.meanwhile = lambda: None

    async def scale(self, resource, namespace, name, replicas):
        self.scaled.append((name, replicas))
        self.meanwhile()


@pytest.fixture
def cluster():
    return Scaled()


@pytest.fixture
def servers():
    return {}


@pytest.fixture
def keeper(cluster, servers):
    return QueueKeeper(cluster, settings(), servers, Recorder(cluster), lambda key: None)


async def test_a_model_whose_last_server_is_gone_goes_though_another_servers_spec_cannot_be_read(keeper, cluster):
    cluster.hold(body(NEVER))
    queue = Queue("demo.en", "gone.en")
    await keeper._prune(queue)
    assert queue.models == {"demo.en"}


async def test_a_server_that_goes_while_another_is_scaled_is_passed_over(keeper, cluster, servers):
    autoscaling = {"autoscaling": {"maxReplicas": 3, "scaleUpDelaySeconds": 0}}
    for name in ("first", "second"):
        served = body(autoscaling, name=name, uid=name, resourceVersion="1")
        servers[key_of(served)] = served
        keeper.see(key_of(served), parse_server(served))
    leaving = ("speech", "second")
    cluster.meanwhile = lambda: (servers.pop(("speech", "first")), keeper.forget(leaving))
    await keeper._scale_all("demo.en", Load(9, 0))
    assert [name for name, _ in cluster.scaled] == ["first"]
