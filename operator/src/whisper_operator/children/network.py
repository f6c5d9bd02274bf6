"""What reaches the pods and what they reach: the headless Service and the NetworkPolicy."""

from __future__ import annotations

from urllib.parse import urlsplit

from whisper_operator.children.worker_pod import PORT, PORT_NAME
from whisper_operator.naming import metadata, selector_labels
from whisper_operator.resources import Manifest
from whisper_operator.server import Server
from whisper_operator.settings import OperatorSettings
from whisper_operator.volume import ModelVolume

_DEFAULT_PORTS = {"https": 443, "http": 80, "wss": 443, "ws": 80, "nats": 4222, "tls": 4222}


def service(server: Server) -> Manifest:
    """Health and metrics of each worker; the whisper-servers themselves listen on the pod's loopback only."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(server, server.name),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": selector_labels(server, "worker"),
            "ports": [{"name": PORT_NAME, "port": PORT, "targetPort": PORT_NAME, "protocol": "TCP"}],
        },
    }


def network_policy(server: Server, volume: ModelVolume, settings: OperatorSettings) -> Manifest:
    policy = server.spec.network_policy
    dns = {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}
    reached = {"ports": [{"port": port, "protocol": "TCP"} for port in _outgoing_ports(server, volume, settings)]}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(server, server.name),
        "spec": {
            "podSelector": {"matchLabels": selector_labels(server, "worker")},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"ports": [{"port": PORT_NAME, "protocol": "TCP"}]}, *policy.extra_ingress],
            "egress": [dns, reached, *policy.extra_egress],
        },
    }


def _outgoing_ports(server: Server, volume: ModelVolume, settings: OperatorSettings) -> list[int]:
    addresses = [*settings.queue_url.split(","), settings.otlp_endpoint]
    if volume.fetched_by_pod:
        source = server.spec.model
        # The catalogue and Hugging Face are on https, and a server may send its clients on to another host there.
        addresses += [source.mirror, source.http.url if source.http else None, "https://"]
        addresses.append(source.s3.endpoint if source.s3 else None)
    return sorted({port_of(address) for address in addresses if address})


def port_of(address: str) -> int:
    parts = urlsplit(address)
    return parts.port or _DEFAULT_PORTS[parts.scheme]
