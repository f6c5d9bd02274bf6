"""Objects in the cluster under test: applied, read and waited for, always with a limit."""

from __future__ import annotations

import base64
import itertools
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.e2e.cluster.cluster import Cluster
from tests.e2e.cluster.errors import CommandFailed
from tests.e2e.cluster.waiting import wait_until
from tests.e2e.installation import namespace

Manifest = dict[str, Any]

CHILD_KINDS = (
    "deployment",
    "job",
    "persistentvolumeclaim",
    "service",
    "secret",
    "networkpolicy",
    "poddisruptionbudget",
    "pod",
)


class Objects:
    """Of one namespace."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace

    def kubectl(self, *arguments: str, limit_s: float = 60.0, text: str | None = None) -> str:
        return self.cluster.kubectl("--namespace", self.namespace, *arguments, limit_s=limit_s, text=text)

    def apply(self, manifest: Manifest) -> None:
        self.kubectl("apply", "--filename", "-", text=json.dumps(manifest))

    def server(self, name: str, spec: Manifest | None = None) -> Manifest:
        """Applies a WhisperServer of the demo model, small enough for a test machine."""
        small = {
            "model": {"name": "demo.en"},
            "cache": {"size": "64Mi"},
            "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
        }
        manifest = {
            "apiVersion": "whisperfleet.dev/v1alpha1",
            "kind": "WhisperServer",
            "metadata": {"name": name},
            "spec": {name: value for name, value in (small | (spec or {})).items() if value is not None},
        }
        self.apply(manifest)
        return manifest

    def client(self, name: str, spec: Manifest | None = None) -> None:
        """Applies a WhisperClient and waits until the gateway knows its key."""
        metadata = {"name": name}
        self.apply(
            {
                "apiVersion": "whisperfleet.dev/v1alpha1",
                "kind": "WhisperClient",
                "metadata": metadata,
                "spec": spec or {},
            }
        )
        self.kubectl("wait", "--for=condition=Ready", f"whisperclient/{name}", "--timeout=30s")

    def client_key(self, name: str) -> str:
        return base64.b64decode(self.existing("secret", f"{name}-key")["data"]["key"]).decode()

    def get(self, kind: str, name: str) -> Manifest | None:
        answer = self.kubectl("get", kind, name, "--ignore-not-found", "--output", "json")
        return json.loads(answer) if answer.strip() else None

    def existing(self, kind: str, name: str) -> Manifest:
        found = self.get(kind, name)
        assert found is not None, f"There is no {kind} {name} in {self.namespace}."
        return found

    def children(self, server: str) -> dict[tuple[str, str], Manifest]:
        """Everything that belongs to a WhisperServer, its pods among it, by kind and name."""
        selector = f"app.kubernetes.io/instance={server}"
        answer = self.kubectl("get", ",".join(CHILD_KINDS), "--selector", selector, "--output", "json")
        return {(item["kind"], item["metadata"]["name"]): item for item in json.loads(answer)["items"]}

    def wait_ready(self, server: str, limit_s: float = 120.0) -> None:
        self.kubectl(
            "wait", "--for=condition=Ready", f"whisperserver/{server}", f"--timeout={limit_s:g}s", limit_s=limit_s + 5
        )

    def condition(self, server: str, type_: str) -> Manifest:
        """With status, reason and message; all empty where it is not told yet."""
        found = self.get("whisperserver", server) or {}
        conditions = found.get("status", {}).get("conditions", [])
        return next((each for each in conditions if each["type"] == type_), {"status": "", "reason": "", "message": ""})

    def wait_reason(self, server: str, type_: str, reason: str, limit_s: float = 60.0) -> str:
        """Returns the condition's message of that moment: a download that is tried again says so in between."""
        found: Manifest = {}

        def missing() -> str | None:
            nonlocal found
            found = self.condition(server, type_)
            return None if found["reason"] == reason else f"{type_} says {found['reason']}: {found['message']}"

        wait_until(f"{type_} of {server} says {reason}", missing, limit_s=limit_s)
        return str(found["message"])

    def warnings(self, reason: str) -> list[str]:
        """The events of that reason, by name."""
        return self.kubectl("get", "events", f"--field-selector=reason={reason},type=Warning", "--output=name").split()

    def refusal(self, manifest: Manifest) -> str:
        """What the API server says to a manifest that it must not take."""
        try:
            self.apply(manifest)
        except CommandFailed as error:
            return str(error)
        raise AssertionError(f"The API server took {json.dumps(manifest)}")

    def wait(self, what: str, holds: Callable[[], bool], limit_s: float = 60.0, every_s: float = 0.1) -> None:
        wait_until(what, lambda: None if holds() else "It does not.", limit_s=limit_s, every_s=every_s)


_numbers = itertools.count(1)


@contextmanager
def own_namespace(cluster: Cluster, kind: str = "speech") -> Iterator[Objects]:
    """Restricted Pod Security is enforced in it. kind: which queues it was given, as platform.yaml says."""
    name = f"{kind}-{os.getpid()}-{next(_numbers)}"
    cluster.kubectl("apply", "--filename", "-", text=json.dumps(namespace(name)))
    objects = Objects(cluster, name)
    # Until it is there, the API server refuses pods.
    objects.kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=60s", limit_s=65)
    yield objects
    cluster.kubectl("delete", "namespace", name, "--timeout=180s", limit_s=185)
