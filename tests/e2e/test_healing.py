"""What somebody else does to a server's children is undone, and what is as wanted is left alone."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from tests.e2e.cluster.cluster import Cluster
from tests.e2e.installation import OPERATOR
from tests.e2e.objects import Manifest, Objects, own_namespace

HEALED_S = 1.0
LOOKED_AT_S = 15.0
"""Every look takes its time on a busy machine; what is measured is what the API server noted."""
REST_S = 20.0

EDITS: dict[str, Manifest] = {
    "deployment": {"spec": {"replicas": 3}},
    "service": {"spec": {"selector": {"app.kubernetes.io/instance": "another"}}},
    "secret": {"data": {"nats.creds": "c29tZWJvZHk="}},
    "networkpolicy": {"spec": {"ingress": []}},
    "persistentvolumeclaim": {"metadata": {"labels": {"app.kubernetes.io/part-of": None}}},
}


@pytest.fixture(scope="module")
def served(platform: Objects, cluster: Cluster) -> Iterator[Objects]:
    """A namespace with the ready server `demo`."""
    with own_namespace(cluster) as objects:
        objects.server("demo")
        objects.wait_ready("demo")
        settle(objects)
        yield objects


def settle(objects: Objects) -> None:
    """Until the Deployment's own status has come to rest."""
    objects.wait_reason("demo", "Progressing", "Settled")


def child(objects: Objects, kind: str) -> Manifest:
    found = [item for (each, _), item in objects.children("demo").items() if each.lower() == kind]
    assert len(found) == 1, found
    return found[0]


def wanted_of(manifest: Manifest) -> Manifest:
    """What the operator decides; the rest is the cluster's."""
    kept = {key: manifest[key] for key in ("spec", "data") if key in manifest}
    return kept | {"labels": manifest["metadata"]["labels"]}


def last_written_at(manifest: Manifest) -> float:
    """Status apart; Unix seconds, as the API server noted."""
    written = [entry["time"] for entry in manifest["metadata"]["managedFields"] if "subresource" not in entry]
    return datetime.fromisoformat(max(written)).timestamp()


@pytest.mark.parametrize("kind", ["deployment", "service", "secret", "networkpolicy", "job"])
def test_a_deleted_child_is_made_again_at_once(kind: str, served: Objects) -> None:
    before = child(served, kind)
    name = before["metadata"]["name"]
    served.kubectl("delete", kind, name, "--wait=false")
    deleted_at = time.time()

    def is_new() -> bool:
        found = served.get(kind, name)
        return found is not None and found["metadata"]["uid"] != before["metadata"]["uid"]

    served.wait(f"A new {kind} comes", is_new, limit_s=LOOKED_AT_S)
    made_at = datetime.fromisoformat(served.existing(kind, name)["metadata"]["creationTimestamp"]).timestamp()
    assert made_at - deleted_at <= HEALED_S
    served.wait_ready("demo")
    settle(served)


@pytest.mark.parametrize("kind", EDITS)
def test_an_edited_child_is_mended_at_once(kind: str, served: Objects) -> None:
    before = child(served, kind)
    name = before["metadata"]["name"]
    served.kubectl("patch", kind, name, "--type=merge", "--patch", json.dumps(EDITS[kind]))
    edited_at = time.time()

    def is_mended() -> bool:
        return wanted_of(served.existing(kind, name)) == wanted_of(before)

    served.wait(f"The {kind} is as before", is_mended, limit_s=LOOKED_AT_S)
    mended = json.loads(served.kubectl("get", kind, name, "--output=json", "--show-managed-fields"))
    assert last_written_at(mended) - edited_at <= HEALED_S
    settle(served)


def writes(cluster: Cluster) -> dict[str, int]:
    """Requests that changed, or might have changed, our objects and their children, as the API server counts them."""
    kinds = "deployments|services|secrets|networkpolicies|persistentvolumeclaims|jobs|poddisruptionbudgets"
    counted: dict[str, int] = {}
    for line in cluster.kubectl("get", "--raw", "/metrics").splitlines():
        if not line.startswith("apiserver_request_total{"):
            continue
        labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
        ours = labels["resource"] == "whisperservers" and labels["verb"] not in ("GET", "LIST", "WATCH")
        childs = re.fullmatch(kinds, labels["resource"]) and labels["verb"] == "APPLY"
        if ours or childs:
            key = f"{labels['verb']} {labels['resource']}/{labels['subresource']}"
            counted[key] = counted.get(key, 0) + int(float(line.rsplit(" ", 1)[1]))
    return counted


def test_nothing_is_written_at_rest(served: Objects, cluster: Cluster) -> None:
    before = writes(cluster)
    assert any(key.startswith("APPLY deployments") for key in before)
    time.sleep(REST_S)  # the test is that nothing happens in it
    assert writes(cluster) == before


def test_a_restart_of_the_operator_disturbs_nothing(served: Objects, platform: Objects, cluster: Cluster) -> None:
    def picture() -> dict[str, Any]:
        found = served.children("demo")
        return {f"{kind} {name}": item["metadata"]["resourceVersion"] for (kind, name), item in found.items()}

    before, written = picture(), writes(cluster)
    platform.kubectl("rollout", "restart", OPERATOR)
    platform.kubectl("rollout", "status", OPERATOR, "--timeout=90s", limit_s=95)
    served.kubectl("annotate", "whisperserver", "demo", "looked-at=again")
    settle(served)
    assert picture() == before
    changed = {key: count - written.get(key, 0) for key, count in writes(cluster).items() if count != written.get(key)}
    assert set(changed) <= {"PATCH whisperservers/"}, changed  # the annotation of this test
