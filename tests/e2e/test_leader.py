"""Two operators: one heals, and when it is killed, paused or told to end, the other goes on where it was."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime

import pytest
from tests.e2e import installation, signals
from tests.e2e.cluster.cluster import Cluster
from tests.e2e.installation import OPERATOR, PLATFORM
from tests.e2e.objects import Manifest, Objects, own_namespace

LEASE = f"{PLATFORM}-operator"
SELECTOR = "app.kubernetes.io/component=operator"
AFTER_KILL_S = 15.0
AT_ONCE_S = 3.0
"""A look each second, and a busy machine."""
LOOKED_AT_S = 40.0


@pytest.fixture(scope="module")
def served(platform: Objects, cluster: Cluster) -> Iterator[Objects]:
    """A namespace with the server `demo`, of which no pod is wanted, and two operators."""
    installation.install(cluster, {"operator.replicas": "2"})
    try:
        with own_namespace(cluster) as objects:
            objects.server("demo", {"replicas": 0})
            objects.wait("The children are there", lambda: objects.get("service", "demo") is not None)
            yield objects
    finally:
        installation.install(cluster)


@pytest.fixture(autouse=True)
def both_ready(served: Objects, platform: Objects) -> None:
    platform.kubectl("rollout", "status", OPERATOR, "--timeout=90s", limit_s=95)
    platform.wait("Somebody leads", lambda: holder(platform) in operators(platform), limit_s=LOOKED_AT_S)


def holder(platform: Objects) -> str:
    return str(platform.existing("lease", LEASE)["spec"].get("holderIdentity", ""))


def operators(platform: Objects) -> dict[str, Manifest]:
    """Those that are not going, by name."""
    listed = json.loads(platform.kubectl("get", "pods", "--selector", SELECTOR, "--output", "json"))["items"]
    return {each["metadata"]["name"]: each for each in listed if "deletionTimestamp" not in each["metadata"]}


def follower(platform: Objects) -> str:
    (other,) = operators(platform).keys() - {holder(platform)}
    return other


def applied(platform: Objects, pod: str) -> int:
    return platform.kubectl("logs", pod, "--tail=-1").count('"applying"')


def lose_a_child(served: Objects) -> str:
    """Returns its UID."""
    uid = str(served.existing("service", "demo")["metadata"]["uid"])
    served.kubectl("delete", "service", "demo", "--wait=false")
    return uid


def healed_at(served: Objects, gone: str) -> float:
    """Unix seconds, as the API server noted."""

    def is_there() -> bool:
        found = served.get("service", "demo")
        return found is not None and found["metadata"]["uid"] != gone

    served.wait("The child is made again", is_there, limit_s=LOOKED_AT_S)
    return datetime.fromisoformat(served.existing("service", "demo")["metadata"]["creationTimestamp"]).timestamp()


def test_one_writes_and_the_other_follows(served: Objects, platform: Objects) -> None:
    leading, following = holder(platform), follower(platform)
    before = applied(platform, leading)
    healed_at(served, lose_a_child(served))
    assert applied(platform, leading) == before + 1
    assert applied(platform, following) == 0
    assert '"following"' in platform.kubectl("logs", following, "--tail=-1")


def test_healing_goes_on_after_the_leader_is_killed(served: Objects, platform: Objects) -> None:
    killed = holder(platform)
    signals.send("KILL", operators(platform)[killed])
    killed_at = time.time()
    platform.kubectl("delete", "pod", killed, "--force", "--grace-period=0", "--wait=false")
    assert healed_at(served, lose_a_child(served)) - killed_at <= AFTER_KILL_S
    platform.wait("Another one leads", lambda: holder(platform) not in ("", killed), limit_s=LOOKED_AT_S)


def test_a_paused_leader_is_replaced_and_writes_nothing_when_it_wakes(served: Objects, platform: Objects) -> None:
    paused, other = holder(platform), follower(platform)
    pod = operators(platform)[paused]
    before = applied(platform, paused)
    signals.send("STOP", pod)
    paused_at = time.time()
    try:
        healed = healed_at(served, lose_a_child(served))
        assert holder(platform) == other
    finally:
        signals.send("CONT", pod)
    assert healed - paused_at <= AFTER_KILL_S
    healed_at(served, lose_a_child(served))
    platform.wait(
        "It knows", lambda: '"no longer leading"' in platform.kubectl("logs", paused, "--tail=-1"), limit_s=LOOKED_AT_S
    )
    assert applied(platform, paused) == before
    assert holder(platform) == other


def test_a_leader_told_to_end_hands_over_at_once(served: Objects, platform: Objects) -> None:
    ending, other = holder(platform), follower(platform)
    platform.kubectl("delete", "pod", ending, "--wait=false")
    told_at = time.time()
    assert healed_at(served, lose_a_child(served)) - told_at <= AT_ONCE_S
    # The one that ends may have healed it as its last deed.
    platform.wait("The other one leads", lambda: holder(platform) == other, limit_s=LOOKED_AT_S)
    acquired = platform.existing("lease", LEASE)["spec"]["acquireTime"]
    assert datetime.fromisoformat(acquired).timestamp() - told_at <= AT_ONCE_S
