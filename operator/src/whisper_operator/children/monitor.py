"""How the Prometheus operator finds the pods."""

from __future__ import annotations

from whisper_operator.children.worker_pod import PORT_NAME
from whisper_operator.naming import metadata, selector_labels
from whisper_operator.resources import Manifest
from whisper_operator.server import Server


def pod_monitor(server: Server) -> Manifest:
    monitoring = server.spec.monitoring
    found = metadata(server, server.name)
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": found | {"labels": (monitoring.labels or {}) | found["labels"]},
        "spec": {
            "selector": {"matchLabels": selector_labels(server, "worker")},
            "podMetricsEndpoints": [{"port": PORT_NAME, "interval": f"{monitoring.interval_seconds}s"}],
        },
    }
