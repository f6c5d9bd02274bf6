"""Objects as the API server has them, and the kinds that the operator reads and writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from whisper_operator.crd.definition import API_VERSION, WHISPER_CLIENT, WHISPER_MODEL, WHISPER_SERVER

Manifest = dict[str, Any]
ObjectKey = tuple[str, str]
"""Namespace and name, where the kind is known."""


def key_of(body: Manifest) -> ObjectKey:
    return body["metadata"]["namespace"], body["metadata"]["name"]


@dataclass(frozen=True, slots=True)
class Resource:
    api_version: str
    kind: str
    plural: str

    def path(self, namespace: str | None, name: str | None = None) -> str:
        """namespace: None = all."""
        prefix = "api" if "/" not in self.api_version else "apis"
        scope = f"/namespaces/{namespace}" if namespace else ""
        return f"/{prefix}/{self.api_version}{scope}/{self.plural}" + (f"/{name}" if name else "")


WHISPER_SERVERS = Resource(API_VERSION, WHISPER_SERVER.kind, WHISPER_SERVER.plural)
WHISPER_MODELS = Resource(API_VERSION, WHISPER_MODEL.kind, WHISPER_MODEL.plural)
WHISPER_CLIENTS = Resource(API_VERSION, WHISPER_CLIENT.kind, WHISPER_CLIENT.plural)
CLAIMS = Resource("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
SECRETS = Resource("v1", "Secret", "secrets")
SERVICES = Resource("v1", "Service", "services")
PODS = Resource("v1", "Pod", "pods")
EVENTS = Resource("v1", "Event", "events")
LEASES = Resource("coordination.k8s.io/v1", "Lease", "leases")
JOBS = Resource("batch/v1", "Job", "jobs")
REVISIONS = Resource("apps/v1", "ControllerRevision", "controllerrevisions")
DEPLOYMENTS = Resource("apps/v1", "Deployment", "deployments")
DISRUPTION_BUDGETS = Resource("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
NETWORK_POLICIES = Resource("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
POD_MONITORS = Resource("monitoring.coreos.com/v1", "PodMonitor", "podmonitors")

CHILDREN = (SECRETS, SERVICES, CLAIMS, JOBS, NETWORK_POLICIES, DISRUPTION_BUDGETS, REVISIONS, DEPLOYMENTS)
BY_KIND = {resource.kind: resource for resource in (*CHILDREN, POD_MONITORS)}

PRUNED = frozenset({"Job", "NetworkPolicy", "PodDisruptionBudget", "PodMonitor", "ControllerRevision"})
"""What is deleted once it is no longer wanted. A claim holds data: it goes with its server or not at all."""

REMADE = frozenset({"Job", "Service", "NetworkPolicy", "PodDisruptionBudget", "PodMonitor"})
"""What is deleted and made anew where the API server refuses a change, as it does for a Job's template."""
