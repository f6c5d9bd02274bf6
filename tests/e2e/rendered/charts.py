"""Helm, and what it makes of the charts from these values."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import yaml
from tests.e2e.cluster import paths

CHARTS = paths.CHECKOUT / "charts"
LIMIT_S = 60
NOT_OF_KUBERNETES = "PodMonitor,PrometheusRule"
DIGEST = "sha256:" + "0" * 64

VALUES: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "everything on": {
        "operator": {"replicas": 3},
        "image": {"pullSecrets": ["registry"]},
        "images": {"nats": {"repository": "nats", "digest": DIGEST}},
        "otlpEndpoint": "http://collector.observability:4318",
        "gateway": {
            "ingress": {"enabled": True, "host": "speech.example.com", "className": "nginx", "tlsSecretName": "tls"},
            "allowFrom": [{"namespaceSelector": {}}],
            "extraEnv": [{"name": "WHISPERFLEET_DRAIN_WAIT_S", "value": "5"}],
        },
        "bot": {
            "token": {"secretName": "telegram"},
            "apiKey": {"secretName": "telegram"},
            "allowed": [7123456789, -1001234567890],
            "admins": [7123456789],
            "minutesPerDay": 60,
            "jobsInFlight": 2,
            "webhook": {"url": "https://bot.example.com/", "secretName": "telegram"},
            "telegramApiUrl": "http://telegram-bot-api.chat:8081",
            "gatewayUrl": "https://speech.example.com",
        },
        "nats": {"replicas": 3, "persistence": {"storageClassName": "fast", "annotations": {"a": "b"}}},
        "monitoring": {
            "podMonitors": {"enabled": True, "labels": {"release": "prometheus"}},
            "prometheusRule": {"enabled": True},
            "dashboard": {"enabled": True},
        },
        "extraObjects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-more"}}],
    },
    "an external queue with credentials and a private authority": {
        "nats": {
            "enabled": False,
            "external": {
                "url": "tls://a.example.com:5222,tls://b.example.com:5223",
                "secretName": "queue",
                "streamReplicas": 3,
                "ca": {"secretName": "authority"},
            },
        }
    },
    "an external queue with passwords": {
        "nats": {
            "enabled": False,
            "external": {"url": "nats://queue", "secretName": "queue", "authentication": "password"},
        }
    },
    "one namespace and nothing for the cluster": {
        "operator": {"watchNamespace": "speech"},
        "crds": {"enabled": False},
    },
    "what others made": {
        "rbac": {"create": False},
        "operator": {"serviceAccount": {"existingName": "their-account"}},
        "nats": {"existingSecret": "their-keys"},
        "networkPolicies": {"enabled": False},
    },
    "the test cluster's": yaml.safe_load((paths.CHECKOUT / "tests" / "e2e" / "platform.yaml").read_text()),
    "the operator and the queue alone": {"gateway": {"enabled": False}, "planner": {"enabled": False}},
}


class Helm:
    def __init__(self, program: Path, folder: Path) -> None:
        self._program = program
        self._values = folder / "values.yaml"

    def __call__(
        self, command: str, values: dict[str, Any], *, chart: str = "whisperfleet"
    ) -> subprocess.CompletedProcess[str]:
        self._values.write_text(yaml.safe_dump(values))
        name = ["speech"] if command == "template" else []
        return subprocess.run(
            [self._program, command, *name, CHARTS / chart, "--namespace", "platform", "--values", self._values],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )


def rendered(helm: Helm, values: dict[str, Any], chart: str = "whisperfleet") -> list[dict[str, Any]]:
    answer = helm("template", values, chart=chart)
    assert answer.returncode == 0, answer.stderr
    return [manifest for manifest in yaml.safe_load_all(answer.stdout) if manifest]


def conforms(text: str, tools: dict[str, Path], schemas: str) -> None:
    command = [tools["kubeconform"], "-strict", "-summary", "-skip", NOT_OF_KUBERNETES, "-schema-location", schemas]
    answer = subprocess.run(command, input=text, capture_output=True, text=True, timeout=LIMIT_S)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def pods(manifests: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    found = {}
    for manifest in manifests:
        spec = (
            manifest["spec"] if manifest["kind"] == "Pod" else manifest.get("spec", {}).get("template", {}).get("spec")
        )
        if spec and manifest["kind"] != "CustomResourceDefinition":
            found[manifest["metadata"]["name"]] = spec
    return found
