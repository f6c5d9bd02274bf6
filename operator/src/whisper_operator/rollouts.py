"""Which pod template the Deployment runs: the wanted one, or where that failed its trial the last good one. No I/O.

A template is good once a pod of it has become ready. It is remembered in a ControllerRevision of the server, and one
that failed in an annotation of the Deployment, so that an operator that starts anew decides the same.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from whisper_operator.crd.definition import GROUP
from whisper_operator.naming import metadata, short_hash
from whisper_operator.observed import Observed, is_ready
from whisper_operator.problems import container_problem
from whisper_operator.resources import REVISIONS, Manifest
from whisper_operator.server import Server

TEMPLATE_ANNOTATION = f"{GROUP}/template"
"""Of a pod: the hash of the template that it was made from."""
REFUSED_ANNOTATION = f"{GROUP}/refused-template"
"""Of a Deployment: the template that is not run, and why."""
FAILED_TRIALS = frozenset({"GoldenClipFailed", "CPUFallback", "ServerFailed", "NotAModel"})
"""The worker's own verdicts on image, model and device."""


@dataclass(frozen=True, slots=True)
class Template:
    content: Manifest
    queue: str

    @property
    def hash(self) -> str:
        return template_hash(self.content)


@dataclass(frozen=True, slots=True)
class Refusal:
    template: str
    """Hash of the one that failed."""
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Rollout:
    template: Manifest
    """What the Deployment runs."""
    good: Template | None = None
    """What is remembered."""
    refusal: Refusal | None = None
    """Why the wanted template is not the one that runs."""


def stamped(template: Manifest) -> Manifest:
    """With its own hash, by which its pods are known."""
    meta = template["metadata"]
    annotations = (meta.get("annotations") or {}) | {TEMPLATE_ANNOTATION: short_hash(template)}
    return template | {"metadata": meta | {"annotations": annotations}}


def template_hash(stamped_or_pod: Manifest) -> str:
    annotations = stamped_or_pod["metadata"].get("annotations") or {}
    return str(annotations.get(TEMPLATE_ANNOTATION, ""))


def decide(server: Server, wanted: Template, observed: Observed, *, takes_pods_first: bool) -> Rollout:
    """takes_pods_first: the rollout ends old pods before new ones are ready, so a bad template leaves none that serve."""
    pods = [pod for pod in observed.pods_of("worker") if template_hash(pod) == wanted.hash]
    if any(map(is_ready, pods)):
        return Rollout(wanted.content, good=wanted)
    good = remembered(observed, wanted.hash)
    refusal = _refusal(wanted.hash, pods, noted_refusal(observed.deployment(server)))
    if refusal and good and takes_pods_first and _replaces(good, wanted):
        return Rollout(good.content, good, refusal)
    return Rollout(wanted.content, good)


def held_back(rollout: Rollout, wanted: Template) -> Rollout | None:
    """What runs while the model of the wanted template is fetched: the last good one, if there is another."""
    good = rollout.good
    return Rollout(good.content, good, rollout.refusal) if good and _replaces(good, wanted) else None


def _replaces(good: Template, wanted: Template) -> bool:
    """Another queue's template would pull, with this server's login, what it may not read."""
    return good.hash != wanted.hash and good.queue == wanted.queue


def _refusal(wanted: str, pods: list[Manifest], noted: Refusal | None) -> Refusal | None:
    if noted and noted.template == wanted:
        return noted
    for pod in pods:
        problem = container_problem([pod])
        if problem and problem.reason in FAILED_TRIALS:
            return Refusal(wanted, problem.reason, problem.message)
    return None


def noted_refusal(deployment: Manifest | None) -> Refusal | None:
    if deployment is None:
        return None
    noted = (deployment["metadata"].get("annotations") or {}).get(REFUSED_ANNOTATION)
    return Refusal(**json.loads(noted)) if noted else None


def refusal_note(refusal: Refusal | None) -> dict[str, str]:
    """Annotations of the Deployment."""
    return {REFUSED_ANNOTATION: json.dumps(asdict(refusal), sort_keys=True)} if refusal else {}


def revision(server: Server, good: Template) -> Manifest:
    return {
        "apiVersion": REVISIONS.api_version,
        "kind": REVISIONS.kind,
        "metadata": metadata(server, f"{server.name}-good-{good.hash}"),
        "data": {"queue": good.queue, "template": good.content},
        "revision": 1,
    }


def remembered(observed: Observed, wanted: str) -> Template | None:
    """The wanted one where it is among them, else the newest."""
    kept = [child for (kind, _), child in observed.children.items() if kind == REVISIONS.kind]
    found = [(Template(child["data"]["template"], child["data"]["queue"]), child) for child in kept]
    by_age = sorted(found, key=lambda each: (each[0].hash == wanted, each[1]["metadata"].get("creationTimestamp", "")))
    return by_age[-1][0] if by_age else None
