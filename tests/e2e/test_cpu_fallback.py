"""A pod with a device that computes on the CPU: told on the object, and without work where the device is required."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from tests.e2e.cluster.cluster import Cluster
from tests.e2e.deliveries import count_deliveries
from tests.e2e.objects import Manifest, Objects
from tests.e2e.speech import HELLO, Gateway

from whisper_dispatcher.transcript.word_error import word_error_rate
from whisper_models.bundled import sample_path
from whisperfleet.client import Client

DEVICE = "nvidia.com/gpu"
LIMIT_S = 120.0
SPEC: Manifest = {
    "queue": {"name": "fallen", "languages": ["en"]},
    "server": {"language": "en"},
    "accelerator": {"vendor": "nvidia"},
}


@pytest.fixture
def device(namespace: Objects, cluster: Cluster) -> Iterator[None]:
    """A device that no node has, and whose pods get the CPU image: exactly what a lost driver looks like."""
    node = cluster.kubectl("get", "nodes", "--output=name").split()[0]

    def tell(count: str | None) -> None:
        patch = json.dumps({"status": {part: {DEVICE: count} for part in ("capacity", "allocatable")}})
        cluster.kubectl("patch", node, "--subresource=status", "--type=merge", "--patch", patch)

    tell("1")
    try:
        yield
    finally:
        tell(None)


@pytest.mark.usefixtures("device")
def test_a_required_device_that_is_not_used_keeps_work_away(
    namespace: Objects, gateway: Gateway, cluster: Cluster
) -> None:
    namespace.server("fallen", SPEC)
    namespace.wait("The gateway knows the model", lambda: gateway.knows("fallen"))
    before = count_deliveries(cluster, "fallen")
    with Client(gateway.url, gateway.key) as client:
        job = client.submit(sample_path("hello.wav"), model="fallen").id
        message = namespace.wait_reason("fallen", "Accelerated", "CPUFallback", limit_s=LIMIT_S)
        assert "a GPU is required" in message
        assert namespace.condition("fallen", "Accelerated")["status"] == "False"
        namespace.wait_reason("fallen", "Degraded", "CPUFallback")
        ready = namespace.condition("fallen", "Ready")
        assert (ready["status"], ready["reason"]) == ("False", "CPUFallback")
        assert namespace.existing("whisperserver", "fallen")["status"]["readyReplicas"] == 0
        assert count_deliveries(cluster, "fallen") == before, "A pod on the CPU pulled work."

        patch = '{"spec": {"accelerator": {"required": false}}}'
        namespace.kubectl("patch", "whisperserver", "fallen", "--type=merge", "--patch", patch)
        namespace.wait_ready("fallen")
        assert word_error_rate(HELLO, client.wait(job, timeout_s=LIMIT_S).text) == 0
    # The reason was the same while a device was required.
    namespace.wait(
        "It says what computes",
        lambda: "computes on the CPU" in namespace.condition("fallen", "Accelerated")["message"],
    )
    namespace.wait_reason("fallen", "Degraded", "AsWanted")
    assert namespace.existing("whisperserver", "fallen")["status"]["backend"] == "cpu"
    namespace.wait("An event tells it", lambda: bool(namespace.warnings("CPUFallback")))
