"""The platform, installed by Helm as users do it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from tests.e2e.cluster import paths, providers
from tests.e2e.cluster.cluster import Cluster, program
from tests.e2e.cluster.commands import Argument, run
from tests.e2e.cluster.images import NATS

Manifest = dict[str, Any]

PLATFORM = "whisperfleet"
"""Release and namespace of the platform; WhisperServers are in others."""
GATEWAY = f"service/{PLATFORM}-gateway"
GATEWAY_PORT = 80
OPERATOR = f"deployment/{PLATFORM}-operator"
CHART = paths.CHECKOUT / "charts" / "whisperfleet"
VALUES = paths.CHECKOUT / "tests" / "e2e" / "platform.yaml"
KEEP = "WHISPERFLEET_KEEP_CLUSTER"
_NEEDED_IMAGES = (NATS, "operator", "dispatcher", "bot", "models", "whisper-worker")
_USER_ID = 65532
_INSTALL_LIMIT_S = 300.0


def helm(cluster: Cluster, *arguments: str, limit_s: float = _INSTALL_LIMIT_S) -> str:
    command: list[Argument] = [program("helm"), "--kubeconfig", cluster.kubeconfig, "--namespace", PLATFORM]
    return run([*command, *arguments], limit_s=limit_s)


def is_kept() -> bool:
    """Whether the cluster stays, and with it its images, which are not built again."""
    return KEEP in os.environ


def ensure(cluster: Cluster, console: Console) -> None:
    """Images and the platform, ready."""
    is_installed = cluster.kubectl("--namespace", PLATFORM, "get", OPERATOR, "--ignore-not-found")
    if not (is_kept() and is_installed):
        providers.load_images(_NEEDED_IMAGES, console)
    console.print("Installing the platform", highlight=False)
    cluster.kubectl("apply", "--filename", "-", text=json.dumps(namespace(PLATFORM)))
    install(cluster)


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
