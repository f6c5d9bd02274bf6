"""The Deployment of the servers."""

from __future__ import annotations

from whisper_operator.naming import metadata, selector_labels
from whisper_operator.resources import Manifest
from whisper_operator.rollouts import Rollout, refusal_note
from whisper_operator.server import Server
from whisper_operator.volume import ModelVolume

REVISIONS_KEPT = 3


def deployment(server: Server, volume: ModelVolume, rollout: Rollout, *, replicas: int) -> Manifest:
    notes = refusal_note(rollout.refusal)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(server, server.name) | ({"annotations": notes} if notes else {}),
        "spec": {
            "replicas": replicas,
            "revisionHistoryLimit": REVISIONS_KEPT,
            "progressDeadlineSeconds": server.spec.rollout.progress_deadline_seconds,
            "selector": {"matchLabels": selector_labels(server, "worker")},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling_update(server, volume)},
            "template": rollout.template,
        },
    }


def takes_pods_first(server: Server, volume: ModelVolume) -> bool:
    return str(rolling_update(server, volume)["maxUnavailable"]) not in ("0", "0%")


def rolling_update(server: Server, volume: ModelVolume) -> dict[str, int | str]:
    """Where a device or a volume serves one pod only, the new pod can start only when an old one is gone."""
    accelerator, rollout = server.spec.accelerator, server.spec.rollout
    exclusive = volume.serves_one_pod or (accelerator is not None and not accelerator.shared)
    surge = rollout.max_surge if rollout.max_surge is not None else int(not exclusive)
    without_surge = str(surge) in ("0", "0%")
    unavailable = rollout.max_unavailable if rollout.max_unavailable is not None else int(without_surge)
    # Kubernetes refuses a rollout that may neither add nor take away.
    stuck = without_surge and str(unavailable) in ("0", "0%")
    return {"maxSurge": surge, "maxUnavailable": 1 if stuck else unavailable}
