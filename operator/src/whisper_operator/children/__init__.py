"""Everything that belongs to a WhisperServer, as manifests."""

from __future__ import annotations

from collections.abc import Iterable

from whisper_operator.children.claim import model_claim
from whisper_operator.children.deployment import deployment, takes_pods_first
from whisper_operator.children.disruption import pod_disruption_budget
from whisper_operator.children.download_job import download_job
from whisper_operator.children.monitor import pod_monitor
from whisper_operator.children.nats_secret import nats_secret
from whisper_operator.children.network import network_policy, service
from whisper_operator.children.worker_pod import pod_template, queue_name
from whisper_operator.observed import Observed, is_ready
from whisper_operator.resources import Manifest
from whisper_operator.rollouts import Rollout, Template, decide, held_back, revision
from whisper_operator.server import Server
from whisper_operator.settings import OperatorSettings
from whisper_operator.volume import ModelVolume, claim_wish


def desired_children(
    server: Server, volume: ModelVolume, observed: Observed, settings: OperatorSettings
) -> list[Manifest]:
    return [child for child in _children(server, volume, observed, settings) if child]


def _children(
    server: Server, volume: ModelVolume, observed: Observed, settings: OperatorSettings
) -> Iterable[Manifest | None]:
    spec = server.spec
    yield nats_secret(server, queue_name(server), settings)
    yield service(server)
    if volume.kind == "OwnClaim":
        yield model_claim(server, claim_wish(spec.cache, spec.model), observed.claim(server))
    if volume.fetched_by_job:
        yield download_job(server, volume, settings)
    if spec.network_policy.enabled:
        yield network_policy(server, volume, settings)
    if spec.pod_disruption_budget.enabled and server.most_replicas > 1:
        yield pod_disruption_budget(server)
    if spec.monitoring.pod_monitor and settings.pod_monitors:
        yield pod_monitor(server)
    yield from _servers(server, volume, observed, settings)


def _servers(
    server: Server, volume: ModelVolume, observed: Observed, settings: OperatorSettings
) -> Iterable[Manifest | None]:
    """Before its model is there, a new server has a Deployment without pods: no device waits for a download.

    One whose model is being changed serves on with the old one, in as many pods as are wanted now.
    """
    wanted = Template(pod_template(server, volume, settings), queue_name(server))
    rollout = decide(server, wanted, observed, takes_pods_first=takes_pods_first(server, volume))
    if rollout.good:
        yield revision(server, rollout.good)
    if observed.model_is_there(server, volume) or server.replicas == 0:
        yield deployment(server, volume, rollout, replicas=server.replicas)
        return
    if earlier := held_back(rollout, wanted):
        yield deployment(server, volume, earlier, replicas=server.replicas)
    elif not _serves(server, rollout, observed):
        yield deployment(server, volume, rollout, replicas=0)


def _serves(server: Server, rollout: Rollout, observed: Observed) -> bool:
    """With a template that cannot be told from here: another queue's, or one that was good while no operator ran."""
    live = observed.deployment(server)
    was_good = rollout.good is not None or any(map(is_ready, observed.pods_of("worker")))
    return was_good and live is not None and live["spec"].get("replicas", 1) > 0
