"""The platform, installed by Helm as users do it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.e2e.cluster import paths
from tests.e2e.cluster.cluster import Cluster, program
from tests.e2e.cluster.commands import run

Manifest = dict[str, Any]

PLATFORM = "whisperfleet"
"""Release and namespace of the platform; WhisperServers are in others."""
GATEWAY = f"service/{PLATFORM}-gateway"
GATEWAY_PORT = 80
OPERATOR = f"deployment/{PLATFORM}-operator"
CHART = paths.CHECKOUT / "charts" / "whisperfleet"
VALUES = paths.CHECKOUT / "tests" / "e2e" / "platform.yaml"
_USER_ID = 65532
_INSTALL_LIMIT_S = 300.0


def helm(cluster: Cluster, *arguments: str, limit_s: float = _INSTALL_LIMIT_S) -> str:
    command = [program("helm"), "--kubeconfig", cluster.kubeconfig, "--namespace", PLATFORM]
    return run([*command, *arguments], limit_s=limit_s)


def install(cluster: Cluster, values: Mapping[str, str] | None = None) -> None:
    """Or upgrade; returns once everything is ready. values: on top of the test cluster's."""
    options = ["--install", "--values", str(VALUES), "--wait", f"--timeout={_INSTALL_LIMIT_S:g}s"]
    options += [f"--set={name}={value}" for name, value in (values or {}).items()]
    helm(cluster, "upgrade", PLATFORM, str(CHART), *options, limit_s=_INSTALL_LIMIT_S + 10)


def namespace(name: str) -> Manifest:
    """One that enforces the restricted Pod Security standard."""
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def restricted_pod(name: str, container: Manifest, volumes: list[Manifest]) -> Manifest:
    container["securityContext"] = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    spec: Manifest = {
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER_ID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
        "volumes": volumes,
    }
    return {"metadata": {"labels": {"app": name}}, "spec": spec}
