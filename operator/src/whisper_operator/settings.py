"""Settings of the operator."""

from __future__ import annotations

import socket
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from whisper_dispatcher import __version__
from whisper_dispatcher.jetstream.topology import Limits
from whisper_dispatcher.settings import ProcessSettings
from whisper_operator.nats_users import Signing

ImageFor = Literal["cpu", "nvidia", "amd", "intel"]

_REGISTRY = "ghcr.io/whisperfleet"
WORKER_IMAGES: dict[ImageFor, str] = {
    "cpu": f"{_REGISTRY}/whisper-worker:cpu-{__version__}",
    "nvidia": f"{_REGISTRY}/whisper-worker:cuda-{__version__}",
    "amd": f"{_REGISTRY}/whisper-worker:vulkan-{__version__}",
    "intel": f"{_REGISTRY}/whisper-worker:openvino-{__version__}",
}
_ALL_QUEUES: dict[str, tuple[str, ...]] = {"*": ("*",)}


class OperatorSettings(ProcessSettings):
    """The NATS user is one that may do everything: the operator makes the streams and the models' consumers."""

    namespace: str | None = None
    """The only one that is served; left out, all."""
    queue_bytes: int | None = Field(default=None, gt=0)
    """NATS' max_file_store, which the streams share; left out, 26 GB."""
    queue_replicas: int = Field(default=1, ge=1, le=5)
    """NATS servers that hold each message."""
    scale_every_s: float = Field(default=1.0, gt=0)
    """How often the queue is asked how much waits."""
    worker_nats_url: str | None = None
    """Where workers find the queue; left out, where the operator finds it."""
    worker_nats_user: str | None = None
    """As whom all workers log in, where no user is signed for each WhisperServer."""
    worker_nats_password: str | None = None
    nats_signing_key: Path | None = None
    """File with the seed that signs a NATS user for each WhisperServer."""
    nats_account: Path | None = None
    """File with the public key of the account that these users belong to."""
    worker_nats_ca_secret: str | None = None
    """In each WhisperServer's namespace, with the private authority's certificate."""
    worker_nats_ca_key: str = "ca.crt"
    """Under which key of that Secret it is."""
    worker_images: dict[ImageFor, str] = Field(default_factory=lambda: dict(WORKER_IMAGES))
    """By kind of accelerator, as a JSON object; left out, those of this version."""
    models_image: str = f"{_REGISTRY}/models:{__version__}"
    """Downloads the models."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    """Of all pods that are made."""
    pod_monitors: bool = False
    """Whether the cluster knows PodMonitor."""
    queue_grants: dict[str, tuple[str, ...]] = Field(default_factory=lambda: dict(_ALL_QUEUES))
    """Patterns of the queues that may be served, by patterns of the namespaces that may; left out, all by all."""
    lease_namespace: str | None = None
    """Of the Lease whose holder alone writes; left out, there is no other operator."""
    lease_name: str | None = None
    pod_name: str = Field(default_factory=socket.gethostname)
    """Of several operators no two have the same; left out, the machine's name."""
    reconcilers: int = Field(default=8, ge=1)
    """Objects that are worked on at the same time."""
    resync_s: float = Field(default=300.0, gt=0)
    """How often every object is looked at again, whether or not anything happened."""
    probe_host: str = "127.0.0.1"
    """0.0.0.0 lets other machines ask."""
    probe_port: int = 8080
    """Of `/healthz`, `/readyz` and `/metrics`."""

    @model_validator(mode="after")
    def _signing_is_whole(self) -> Self:
        if (self.nats_signing_key is None) != (self.nats_account is None):
            raise ValueError("WHISPERFLEET_NATS_SIGNING_KEY and WHISPERFLEET_NATS_ACCOUNT go together")
        return self

    @model_validator(mode="after")
    def _lease_is_whole(self) -> Self:
        if (self.lease_namespace is None) != (self.lease_name is None):
            raise ValueError("WHISPERFLEET_LEASE_NAMESPACE and WHISPERFLEET_LEASE_NAME go together")
        return self

    @property
    def lease(self) -> tuple[str, str] | None:
        """Namespace and name."""
        return (self.lease_namespace, self.lease_name) if self.lease_namespace and self.lease_name else None

    @cached_property
    def signing(self) -> Signing | None:
        """Raises OSError where a file cannot be read."""
        if self.nats_signing_key is None or self.nats_account is None:
            return None
        return Signing(self.nats_account.read_text().strip(), self.nats_signing_key.read_text().strip())

    @property
    def queue_limits(self) -> Limits:
        limits = Limits(replicas=self.queue_replicas)
        return limits.within(self.queue_bytes) if self.queue_bytes else limits

    @property
    def queue_url(self) -> str:
        """As the workers see it."""
        return self.worker_nats_url or self.nats_url
