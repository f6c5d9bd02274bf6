"""From no pod to as many as the queue needs, and back."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.e2e.cluster.cluster import Cluster
from tests.e2e.deliveries import count_deliveries
from tests.e2e.objects import Objects
from tests.e2e.speech import HELLO, Gateway

from whisper_dispatcher.transcript.word_error import word_error_rate

JOBS = 24
MOST = 3
SCALED: dict[str, dict[str, Any]] = {
    "queue": {"name": "first", "languages": ["en"]},
    "server": {"language": "en"},
    "cache": {"mode": "PerPod", "size": "64Mi"},
    # So little of a processor that a window takes seconds: pods go while others, or they themselves, are at work.
    "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"cpu": "150m"}},
    "autoscaling": {"maxReplicas": MOST, "pendingWindowsPerReplica": 1, "scaleDownDelaySeconds": 1},
}


def wanted_pods(objects: Objects) -> int:
    return int(objects.existing("whisperserver", "scaled")["spec"].get("replicas", 0))


def ready_pods(objects: Objects) -> int:
    return int(objects.existing("whisperserver", "scaled")["status"].get("readyReplicas", 0))


def scaled_down_at_work(objects: Objects) -> list[str]:
    """What the operator said whenever it took pods away while windows were in work."""
    answer = objects.kubectl("get", "events", "--field-selector=reason=Scaled", "--output=json")
    said = [event["message"] for event in json.loads(answer)["items"]]
    told = [
        re.match(r"(\d+) pods are wanted now, (\d+) before: \d+ windows wait and (\d+) are in work", each)
        for each in said
    ]
    return [each[0] for each in told if each and int(each[1]) < int(each[2]) and int(each[3]) > 0]


def test_the_queue_wakes_pods_and_lets_them_sleep_again_without_cutting_a_window_short(
    namespace: Objects, gateway: Gateway, cluster: Cluster
) -> None:
    namespace.server("scaled", SCALED)
    assert "work in the queue" in namespace.wait_reason("scaled", "Ready", "ScaledToZero")
    namespace.wait("The gateway knows the model", lambda: gateway.knows("first"))
    before = count_deliveries(cluster, "first")

    with ThreadPoolExecutor(JOBS) as clients:
        jobs = [clients.submit(gateway.transcribe, model="first", number=number, limit_s=180) for number in range(JOBS)]
        namespace.wait("All pods take work", lambda: ready_pods(namespace) == MOST, limit_s=120)
        # Two of three pods must go while all are at work.
        namespace.server("scaled", SCALED | {"autoscaling": SCALED["autoscaling"] | {"maxReplicas": 1}})
        texts = [job.result() for job in jobs]

    assert [word_error_rate(HELLO, text) for text in texts] == [0] * JOBS
    namespace.wait("No pod is wanted", lambda: wanted_pods(namespace) == 0, limit_s=60)
    namespace.wait_reason("scaled", "Ready", "ScaledToZero", limit_s=180)
    namespace.wait(
        "The pods go", lambda: not [kind for kind, _ in namespace.children("scaled") if kind == "Pod"], limit_s=180
    )
    assert scaled_down_at_work(namespace), "No pod went while a window was in work, so this shows nothing."
    assert count_deliveries(cluster, "first") - before == JOBS, "A window was handed out twice."


def test_a_schedule_keeps_pods_while_nothing_waits(namespace: Objects) -> None:
    """The first is open all year but for a minute, the second never."""
    often, seldom = "* * * * *", "0 0 1 1 *"
    for start, end, pods in ((often, seldom, 1), (seldom, often, 0)):
        schedule = {"name": "office", "start": start, "end": end, "timeZone": "Asia/Tokyo", "minReplicas": 1}
        autoscaling = {"maxReplicas": 2, "scaleDownDelaySeconds": 1, "schedules": [schedule]}
        namespace.server("scaled", SCALED | {"autoscaling": autoscaling})
        namespace.wait(f"{pods} pods are wanted", lambda pods=pods: wanted_pods(namespace) == pods, limit_s=30)
    said = namespace.kubectl("get", "events", "--field-selector=reason=Scaled", "--output=jsonpath={.items[*].message}")
    assert "schedule office asks for at least 1" in said
