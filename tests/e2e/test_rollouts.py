"""Templates whose pods hear their golden clip wrong: they take no work, and what served before serves on."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import pytest
from tests.e2e.installation import OPERATOR
from tests.e2e.objects import Manifest, Objects
from tests.e2e.speech import HELLO, Gateway

from whisper_dispatcher.transcript.word_error import word_error_rate
from whisper_models.bundled import sample_path

LIMIT_S = 120.0
REFUSED = "whisperfleet.dev/refused-template"
PER_POD: Manifest = {"cache": {"mode": "PerPod", "size": "64Mi"}}
"""A volume for each pod, so that a new one may start beside the old."""


@pytest.fixture
def tried(namespace: Objects) -> Callable[[Manifest], Objects]:
    """A ready server, of which a template is remembered."""

    def make(spec: Manifest) -> Objects:
        clip = base64.b64encode(sample_path("hello.wav").read_bytes()).decode()
        namespace.apply(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "clips"}, "binaryData": {"a.wav": clip}}
        )
        queue = {"queue": {"name": "tried", "languages": ["en"]}, "server": {"language": "en"}}
        namespace.server("tried", queue | spec)
        namespace.wait_ready("tried")
        namespace.wait("The good template is remembered", lambda: len(remembered(namespace)) == 1)
        return namespace

    return make


def remembered(objects: Objects) -> list[str]:
    selector = "app.kubernetes.io/instance=tried"
    return objects.kubectl("get", "controllerrevisions", "--selector", selector, "--output=name").split()


def expect(objects: Objects, text: str) -> None:
    """The pods shall hear this in the clip."""
    clip = {"clip": {"name": "clips", "key": "a.wav"}, "text": text, "maxWordErrorRate": 0.2}
    patch = json.dumps({"spec": {"goldenClip": clip}})
    objects.kubectl("patch", "whisperserver", "tried", "--type=merge", "--patch", patch)


def pods(objects: Objects) -> dict[str, bool]:
    """Whether each of them takes work; without those that go."""
    found = [item for (kind, _), item in objects.children("tried").items() if kind == "Pod"]
    workers = [pod for pod in found if pod["metadata"]["labels"]["app.kubernetes.io/component"] == "worker"]
    return {
        pod["metadata"]["name"]: any(
            each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", [])
        )
        for pod in workers
        if "deletionTimestamp" not in pod["metadata"]
    }


def expected_text(objects: Objects) -> str | None:
    """What the Deployment's pods shall hear; None: what is bundled."""
    deployment = objects.existing("deployment", "tried")
    variables = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    return next((each["value"] for each in variables if each["name"] == "WHISPERFLEET_GOLDEN_TEXT"), None)


def test_without_surge_the_last_good_template_runs_again_and_the_next_change_is_tried(
    tried: Callable[[Manifest], Objects], gateway: Gateway, platform: Objects
) -> None:
    objects = tried({})
    strategy = objects.existing("deployment", "tried")["spec"]["strategy"]["rollingUpdate"]
    assert strategy == {"maxSurge": 0, "maxUnavailable": 1}
    objects.wait("The gateway knows the model", lambda: gateway.knows("tried"))

    expect(objects, "nobody says so")
    message = objects.wait_reason("tried", "Degraded", "GoldenClipFailed", limit_s=LIMIT_S)
    assert "instead of 'nobody says so'" in message
    objects.wait_reason("tried", "Progressing", "RolledBack", limit_s=LIMIT_S)
    objects.wait_ready("tried")
    assert expected_text(objects) is None
    objects.wait("An event tells it", lambda: bool(objects.warnings("RolledBack")))
    assert word_error_rate(HELLO, gateway.transcribe(model="tried", number=1)) == 0

    served = pods(objects)
    platform.kubectl("rollout", "restart", OPERATOR)
    platform.kubectl("rollout", "status", OPERATOR, "--timeout=90s", limit_s=95)
    without = '{"spec": {"networkPolicy": {"enabled": false}}}'
    objects.kubectl("patch", "whisperserver", "tried", "--type=merge", "--patch", without)
    objects.wait("The new operator has looked", lambda: objects.get("networkpolicy", "tried") is None)
    assert expected_text(objects) is None
    assert pods(objects) == served
    assert objects.condition("tried", "Degraded")["reason"] == "GoldenClipFailed"

    expect(objects, HELLO)
    objects.wait_reason("tried", "Degraded", "AsWanted", limit_s=LIMIT_S)
    objects.wait_reason("tried", "Progressing", "Settled", limit_s=LIMIT_S)
    assert expected_text(objects) == HELLO
    assert REFUSED not in objects.existing("deployment", "tried")["metadata"]["annotations"]
    objects.wait("Only the new template is remembered", lambda: len(remembered(objects)) == 1)


def test_with_surge_the_old_pods_serve_beside_one_that_hears_wrong(
    tried: Callable[[Manifest], Objects], gateway: Gateway
) -> None:
    objects = tried(PER_POD)
    old = pods(objects)
    assert list(old.values()) == [True]
    expect(objects, "nobody says so")
    objects.wait_reason("tried", "Degraded", "GoldenClipFailed", limit_s=LIMIT_S)
    found = pods(objects)
    assert found.items() > old.items()
    assert [ready for name, ready in found.items() if name not in old] == [False]
    assert objects.condition("tried", "Ready")["status"] == "True"
    assert word_error_rate(HELLO, gateway.transcribe(model="tried", number=3)) == 0
    expect(objects, HELLO)
    objects.wait_reason("tried", "Degraded", "AsWanted", limit_s=LIMIT_S)
    objects.wait("A new pod alone takes work", lambda: set(pods(objects).values()) == {True}, limit_s=LIMIT_S)
    objects.wait("The old pod goes", lambda: not set(pods(objects)) & set(old), limit_s=LIMIT_S)
