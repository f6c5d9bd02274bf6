"""What a WhisperServer needs and the cluster does not have is told on the object within seconds."""

from __future__ import annotations

import pytest
from tests.e2e.objects import Manifest, Objects

MISSING: dict[str, tuple[Manifest, str, str, str]] = {
    "storage class": ({"cache": {"storageClassName": "nowhere"}}, "ModelCached", "ClaimPending", "nowhere"),
    "secret": (
        {
            "model": {
                "http": {
                    "url": "http://nobody.invalid/a.bin",
                    "sha256": "0" * 64,
                    "tokenSecretRef": {"name": "nothing", "key": "token"},
                }
            },
            "queue": {"name": "second"},
        },
        "ModelCached",
        "PodMisconfigured",
        'secret "nothing" not found',
    ),
    "gpu": (
        {"accelerator": {"vendor": "nvidia"}, "cache": {"mode": "Ephemeral"}},
        "Scheduled",
        "InsufficientGPU",
        "nvidia.com/gpu",
    ),
    "image": (
        {"image": "localhost/nothing:none", "cache": {"mode": "Ephemeral"}},
        "Degraded",
        "ImagePullBackOff",
        "localhost/nothing:none",
    ),
    "claim": (
        {"model": {"claim": {"name": "nothing", "path": "a.bin"}}, "cache": None, "queue": {"name": "third"}},
        "Scheduled",
        "ClaimPending",
        "nothing",
    ),
}
SAID_WITHIN_S = 30.0


@pytest.mark.parametrize("what", MISSING)
def test_a_missing_thing_is_named_on_the_object(what: str, namespace: Objects) -> None:
    spec, type_, reason, words = MISSING[what]
    namespace.server("wanting", spec)
    assert words in namespace.wait_reason("wanting", type_, reason, limit_s=SAID_WITHIN_S)
    ready = namespace.condition("wanting", "Ready")
    assert (ready["status"], ready["reason"]) == ("False", reason)


def test_a_claim_that_cannot_serve_so_many_pods_is_told_before_anything_is_made(namespace: Objects) -> None:
    namespace.server("split", {"replicas": 2, "cache": {"mode": "PerServer"}})
    message = namespace.wait_reason("split", "Ready", "ImpossibleCache", limit_s=SAID_WITHIN_S)
    assert "PerPod" in message
    assert namespace.children("split") == {}


def test_a_second_model_on_a_queue_is_refused(namespace: Objects) -> None:
    namespace.server("holder", {"queue": {"name": "second", "languages": ["en"]}, "suspend": True})
    namespace.wait_reason("holder", "Ready", "Suspended")
    namespace.server("intruder", {"model": {"name": "tiny.en"}, "queue": {"name": "second"}})
    message = namespace.wait_reason("intruder", "Ready", "QueueTaken", limit_s=SAID_WITHIN_S)
    assert "holder" in message and "spec.queue.name" in message
    namespace.kubectl("delete", "whisperserver", "holder")
    namespace.wait("The queue is free", lambda: namespace.condition("intruder", "Ready")["reason"] != "QueueTaken")
