"""From no pod to as many as the queue needs, and back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.e2e.cluster.cluster import Cluster
from tests.e2e.deliveries import count_deliveries
from tests.e2e.objects import Objects
from tests.e2e.speech import HELLO, Gateway

from whisper_dispatcher.transcript.word_error import word_error_rate

JOBS = 8
SCALED = {
    "queue": {"name": "first", "languages": ["en"]},
    "server": {"language": "en"},
    "autoscaling": {"maxReplicas": 2, "pendingWindowsPerReplica": 2, "scaleDownDelaySeconds": 5},
}


def wanted_pods(objects: Objects) -> int:
    return int(objects.existing("whisperserver", "scaled")["spec"].get("replicas", 0))


def test_the_queue_wakes_pods_and_lets_them_sleep_again_without_cutting_a_window_short(
    namespace: Objects, gateway: Gateway, cluster: Cluster
) -> None:
    namespace.server("scaled", SCALED)
    assert "work in the queue" in namespace.wait_reason("scaled", "Ready", "ScaledToZero")
    namespace.wait("The gateway knows the model", lambda: gateway.knows("first"))
    before = count_deliveries(cluster, "first")

    with ThreadPoolExecutor(JOBS) as clients:
        jobs = [clients.submit(gateway.transcribe, model="first", number=number, limit_s=180) for number in range(JOBS)]
        namespace.wait("Two pods are wanted", lambda: wanted_pods(namespace) == 2, limit_s=30)
        texts = [job.result() for job in jobs]

    assert [word_error_rate(HELLO, text) for text in texts] == [0] * JOBS
    namespace.wait("No pod is wanted", lambda: wanted_pods(namespace) == 0, limit_s=60)
    namespace.wait_reason("scaled", "Ready", "ScaledToZero", limit_s=180)
    namespace.wait(
        "The pods go", lambda: not [kind for kind, _ in namespace.children("scaled") if kind == "Pod"], limit_s=180
    )
    assert count_deliveries(cluster, "first") - before == JOBS, "A window was handed out twice."
