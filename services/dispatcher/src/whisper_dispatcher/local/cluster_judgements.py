"""What is wrong in a Kubernetes cluster, judged from the objects that `kubectl get` shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from whisper_dispatcher.local.findings import Finding, warning, well, wrong

Manifest = dict[str, Any]

GROUP = "whisperfleet.dev"

_INTENDED = frozenset({"Suspended", "ScaledToZero", "Downloading", "DownloadPending", "WaitingForModel", "Starting"})
"""Reasons for which an object is not ready and nothing is wrong."""


def judge_definitions(names: Iterable[str], wanted: Iterable[str]) -> Finding:
    missing = sorted(set(wanted) - set(names))
    if missing:
        return wrong(
            f"The cluster does not know {', '.join(missing)}. Install the chart with crds.enabled, or run "
            f"`kubectl apply --server-side --filename manifests/crds`."
        )
    return well("The cluster knows Whisperfleet's kinds.")


def judge_workloads(workloads: Iterable[Manifest]) -> Iterator[Finding]:
    """Deployments and StatefulSets of the platform."""
    found = list(workloads)
    if not found:
        yield wrong("No part of Whisperfleet runs here. `helm install whisperfleet charts/whisperfleet` installs it.")
    for workload in found:
        yield _judge_workload(workload)


def _judge_workload(workload: Manifest) -> Finding:
    wanted = workload["spec"].get("replicas", 1)
    ready = (workload.get("status") or {}).get("readyReplicas", 0)
    what = f"{workload['kind']} {_place(workload)}"
    if wanted == 0:
        return warning(f"{what} is scaled to 0. {_command(workload, 'scale', '--replicas=1')} starts it.")
    if ready < wanted:
        return wrong(f"{what}: {ready} of {wanted} pods are ready. {_command(workload, 'describe')} says why.")
    return well(f"{what}: {ready} of {wanted} pods are ready.")


def judge_objects(objects: Iterable[Manifest]) -> Iterator[Finding]:
    """Ours, by their own conditions."""
    for body in objects:
        yield _judge_object(body)


def _judge_object(body: Manifest) -> Finding:
    what = f"{body['kind']} {_place(body)}"
    conditions = {each["type"]: each for each in (body.get("status") or {}).get("conditions") or []}
    ready, degraded = conditions.get("Ready"), conditions.get("Degraded")
    if ready is None:
        return wrong(f"{what} has no status. Does the operator run, and does it serve this namespace?")
    if degraded and degraded["status"] == "True":
        return wrong(_told(what, degraded, body))
    if ready["status"] == "True":
        return well(f"{what}: {ready['message']}")
    intended = ready["reason"] in _INTENDED
    return (warning if intended else wrong)(_told(what, ready, body))


def _told(what: str, condition: Manifest, body: Manifest) -> str:
    return f"{what} ({condition['reason']}): {condition['message']} {_command(body, 'describe')} shows its events."


def _place(body: Manifest) -> str:
    return f"{body['metadata']['namespace']}/{body['metadata']['name']}"


def _command(body: Manifest, verb: str, *options: str) -> str:
    metadata = body["metadata"]
    words = [
        "kubectl",
        verb,
        f"{body['kind'].lower()}/{metadata['name']}",
        "--namespace",
        metadata["namespace"],
        *options,
    ]
    return f"`{' '.join(words)}`"
