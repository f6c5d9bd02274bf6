"""How many pods a node's drain may take at a time."""

from __future__ import annotations

from whisper_operator.naming import metadata, selector_labels
from whisper_operator.resources import Manifest
from whisper_operator.server import Server


def pod_disruption_budget(server: Server) -> Manifest:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(server, server.name),
        "spec": {
            "maxUnavailable": server.spec.pod_disruption_budget.max_unavailable,
            "selector": {"matchLabels": selector_labels(server, "worker")},
            # A pod that takes no work anyway must not hold up a drain.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
