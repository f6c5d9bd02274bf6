"""From `kubectl apply` of the sample to the right words, and back to nothing."""

from __future__ import annotations

from tests.e2e.cluster import paths
from tests.e2e.cluster.cluster import Cluster
from tests.e2e.installation import PLATFORM, helm
from tests.e2e.objects import Objects
from tests.e2e.speech import HELLO, Gateway

from whisper_dispatcher.transcript.word_error import word_error_rate

SAMPLES = paths.CHECKOUT / "manifests" / "samples"


def test_a_sample_becomes_ready_hears_right_and_takes_everything_along(namespace: Objects, gateway_url: str) -> None:
    for sample in ("demo.yaml", "client.yaml"):
        namespace.kubectl("apply", "--filename", str(SAMPLES / sample))
    namespace.kubectl("wait", "--for=condition=Ready", "whisperclient/demo", "--timeout=30s")
    namespace.wait_ready("demo")
    assert word_error_rate(HELLO, Gateway(gateway_url, namespace.client_key("demo")).transcribe()) == 0

    kinds = {kind for kind, _ in namespace.children("demo")}
    assert kinds == {"Deployment", "Job", "PersistentVolumeClaim", "Service", "Secret", "NetworkPolicy", "Pod"}

    namespace.kubectl("delete", "whisperserver", "demo")
    namespace.wait("Everything of the server goes", lambda: not namespace.children("demo"), limit_s=60)


def test_the_status_tells_the_whole_story_in_one_line(namespace: Objects) -> None:
    namespace.server("story")
    namespace.wait_ready("story")
    header, line = namespace.kubectl("get", "whisperserver", "story").splitlines()
    assert header.split()[:6] == ["NAME", "MODEL", "READY", "REASON", "UP", "WANT"]
    assert line.split()[:5] == ["story", "demo.en", "True", "Serving", "1"]


def test_events_tell_each_step_once(namespace: Objects) -> None:
    namespace.server("told")
    namespace.wait_ready("told")

    def reasons() -> list[str]:
        chosen = "--field-selector=involvedObject.kind=WhisperServer,involvedObject.name=told"
        return namespace.kubectl("get", "events", chosen, "--output=jsonpath={.items[*].reason}").split()

    namespace.wait("The server's readiness is told", lambda: "Serving" in reasons())
    told = reasons()
    assert {"ModelCached", "Serving"} <= set(told)
    assert len(told) == len(set(told))


def test_helm_test_hears_the_recording_through_everything(
    namespace: Objects, platform: Objects, cluster: Cluster
) -> None:
    namespace.server("heard", {"queue": {"default": True}})
    namespace.wait_ready("heard")
    assert "hello world" in helm(cluster, "test", PLATFORM, "--logs").lower()
