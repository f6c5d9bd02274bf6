"""Gathers what is needed to understand a failure: objects, events and logs. Secrets' contents stay out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from . import paths
from .cluster import Cluster
from .errors import ClusterError

_ASK_LIMIT_S = 30.0
_LOG_LINES = "2000"
_LEFT_OUT = frozenset({"secrets", "events", "events.events.k8s.io"})


def collect(daemon_logs: Mapping[str, Path], cluster: Cluster | None) -> Path:
    """Writes a folder below build/collected and returns it; what cannot be had is noted in it and never raised."""
    folder = paths.COLLECTED / datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    folder.mkdir(parents=True, exist_ok=True)
    for name, path in daemon_logs.items():
        shutil.copyfile(path, folder / name)
    if cluster is not None:
        _write(folder / "nodes.txt", partial(_ask, cluster, "describe", "nodes"))
        _write(folder / "events.txt", partial(_ask, cluster, "get", "events", "-A", "--sort-by=.lastTimestamp"))
        _write(folder / "pods.txt", partial(_ask, cluster, "get", "pods", "-A", "-o", "wide"))
        _write(folder / "objects.yaml", partial(_objects, cluster))
        _collect_pods(cluster, folder / "pods")
    return folder


def containers(pod: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """Each container that has run: its name, and whether an earlier run of it left a log too."""
    status = pod.get("status", {})
    for container in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        if "waiting" not in container.get("state", {}) or container.get("restartCount", 0):
            yield container["name"], container.get("restartCount", 0) > 0


def _objects(cluster: Cluster) -> str:
    kinds = _ask(cluster, "api-resources", "--verbs=list", "-o", "name").split()
    wanted = ",".join(sorted(set(kinds) - _LEFT_OUT))
    return _ask(cluster, "get", wanted, "-A", "-o", "yaml", "--ignore-not-found")


def _collect_pods(cluster: Cluster, folder: Path) -> None:
    try:
        pods = json.loads(_ask(cluster, "get", "pods", "-A", "-o", "json"))["items"]
    except (ClusterError, ValueError):
        return  # pods.txt already says why
    for pod in pods:
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        target = folder / namespace / name
        target.mkdir(parents=True, exist_ok=True)
        _write(target / "describe.txt", partial(_ask, cluster, "-n", namespace, "describe", "pod", name))
        for container, restarted in containers(pod):
            arguments = ("-n", namespace, "logs", name, "-c", container, f"--tail={_LOG_LINES}")
            _write(target / f"{container}.log", partial(_ask, cluster, *arguments))
            if restarted:
                _write(target / f"{container}.previous.log", partial(_ask, cluster, *arguments, "--previous"))


def _ask(cluster: Cluster, *arguments: str) -> str:
    return cluster.kubectl(*arguments, limit_s=_ASK_LIMIT_S)


def _write(path: Path, ask: Callable[[], str]) -> None:
    try:
        text = ask()
    except ClusterError as error:
        text = f"{error}\n"
    path.write_text(text, "utf-8")
