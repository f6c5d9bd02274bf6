"""Which namespaces may serve which queues."""

import pytest
from strict_cluster import StrictCluster
from whisper_server_objects import body, server, settings

from whisper_operator.events import Recorder
from whisper_operator.queue_grants import denial
from whisper_operator.queue_keeper import QueueKeeper

GRANTS = {"speech": ["*"], "team-*": ["demo.en", "team-*"], "team-b": ["large*"]}


def asked(namespace, **queue):
    return denial(GRANTS, server({"queue": queue}, namespace=namespace))


@pytest.mark.parametrize(
    ("namespace", "queue"),
    [
        ("speech", "anything"),
        ("team-a", "demo.en"),
        ("team-a", "team-x"),
        ("team-b", "large-v3"),
        ("team-b", "demo.en"),
    ],
)
def test_a_queue_that_was_given_may_be_served(namespace, queue):
    assert asked(namespace, name=queue) is None


@pytest.mark.parametrize(
    ("namespace", "queue"),
    [("team-a", "large-v3"), ("stranger", "demo.en"), ("ateam-a", "demo.en"), ("team-a", "demo.en.2"), ("Speech", "x")],
)
def test_a_queue_that_was_not_given_is_refused_with_a_sentence(namespace, queue):
    said = asked(namespace, name=queue)
    assert f"Namespace {namespace} may not serve the queue {queue}:" in said
    assert "operator.queues" in said


def test_the_models_own_name_is_the_queue_where_none_is_named():
    assert asked("team-a") is None
    assert asked("stranger")


def test_an_alias_would_bring_what_is_sent_to_that_name():
    assert asked("team-a", name="team-x", aliases=["team-y"]) is None
    assert "the queues large-v3, whisper-1" in asked("team-a", name="team-x", aliases=["large-v3", "whisper-1"])


def test_the_default_hears_everything_and_needs_everything():
    assert asked("speech", default=True) is None
    assert "default" in asked("team-a", default=True)


def test_nothing_is_given_where_nothing_is_named():
    assert denial({}, server())


def test_an_operator_outside_the_chart_serves_all(monkeypatch):
    assert denial(settings().queue_grants, server()) is None


def test_the_setting_is_read_as_the_chart_writes_it(monkeypatch):
    monkeypatch.setenv("WHISPERFLEET_QUEUE_GRANTS", '{"platform":["*"],"team-*":["demo.en"]}')
    assert settings().queue_grants == {"platform": ("*",), "team-*": ("demo.en",)}


class Records:
    """The gateway's list of models."""

    def __init__(self):
        self.held = {"demo.en"}

    async def owned(self, owner):
        return set(self.held)

    async def remove(self, queues):
        self.held -= set(queues)


@pytest.mark.parametrize(("grants", "held"), [({"speech": ["*"]}, {"demo.en"}), ({}, set())])
async def test_the_gateway_offers_no_model_whose_only_server_may_not_serve_it(grants, held):
    cluster = StrictCluster()
    cluster.hold(body())
    keeper = QueueKeeper(cluster, settings(queue_grants=grants), {}, Recorder(cluster), lambda key: None)
    records = Records()
    await keeper._prune(records)
    assert records.held == held
