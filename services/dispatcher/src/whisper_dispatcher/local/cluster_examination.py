"""`whisperfleet doctor --context NAME`: looks into a cluster with the user's own kubectl and rights."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from whisper_dispatcher.local.cluster_judgements import GROUP, judge_definitions, judge_objects, judge_workloads
from whisper_dispatcher.local.findings import Finding, well, wrong

KUBECTL_TIMEOUT_S = 30.0
KINDS = ("whisperservers", "whispermodels", "whisperclients")
PLATFORM = "app.kubernetes.io/name=whisperfleet"


class KubectlFailed(Exception):
    """What kubectl said."""


@dataclass(frozen=True, slots=True)
class Kubectl:
    program: str
    context: str

    def items(self, kinds: str, *options: str) -> list[dict[str, Any]]:
        """Raises KubectlFailed."""
        command = [self.program, "--context", self.context, "--request-timeout=10s", "get", kinds, "--output=json"]
        try:
            done = subprocess.run(
                [*command, *options], capture_output=True, text=True, timeout=KUBECTL_TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise KubectlFailed(f"kubectl gave no answer within {KUBECTL_TIMEOUT_S:g} s.") from error
        if done.returncode:
            said = done.stderr.strip().rstrip(".") or f"kubectl ended with {done.returncode}"
            raise KubectlFailed(f"{said}.")
        found: list[dict[str, Any]] = json.loads(done.stdout)["items"]
        return found


def cluster_findings(context: str) -> Iterator[Finding]:
    program = shutil.which("kubectl")
    if program is None:
        yield wrong("There is no kubectl on PATH. Install it: the cluster is asked through it.")
        return
    try:
        yield from _examine(Kubectl(program, context))
    except KubectlFailed as error:
        yield wrong(
            f"The cluster of context {context} cannot be examined: {error} Check `kubectl config get-contexts`."
        )


def _examine(kubectl: Kubectl) -> Iterator[Finding]:
    definitions = [each["metadata"]["name"] for each in kubectl.items("customresourcedefinitions")]
    yield well(f"The API server of context {kubectl.context} answers.")
    wanted = [f"{kind}.{GROUP}" for kind in KINDS]
    yield judge_definitions(definitions, wanted)
    yield from judge_workloads(kubectl.items("deployments,statefulsets", "--all-namespaces", "--selector", PLATFORM))
    there = [kind for kind in wanted if kind in definitions]
    if there:
        yield from judge_objects(kubectl.items(",".join(there), "--all-namespaces"))
