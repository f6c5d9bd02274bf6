"""WhisperServer, v1alpha1: whisper.cpp servers with a verified model, fed by the queue."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from whisper_operator.crd.fields import (
    AnyObject,
    Bytes,
    Conditions,
    Resources,
    Shape,
    passthrough,
    rule,
    shape_config,
)
from whisper_operator.crd.model_source import ModelSource
from whisper_operator.crd.placement import Placement
from whisper_operator.crd.serving import (
    Accelerator,
    Autoscaling,
    Cache,
    Drain,
    GoldenClip,
    Probes,
    Queue,
    Replicas,
    Rollout,
    ServerOptions,
)
from whisper_operator.crd.surroundings import (
    EnvironmentVariable,
    Monitoring,
    NetworkPolicy,
    PodDisruptionBudget,
    PodTemplatePatch,
)

MAX_NAME_LENGTH = 50
"""So that the longest child's name, and every label made of it, has at most 63 characters."""


class WhisperServerSpec(Placement):
    """What is wanted."""

    model_config = shape_config(
        rule(
            "has(self.model.name) || (has(self.queue) && has(self.queue.name))",
            "queue.name is needed where the model is not from the catalogue",
        ),
        rule(
            "!(has(self.model.claim) || has(self.model.whisperModel)) || !has(self.cache)",
            "cache goes with a model that is downloaded",
        ),
    )

    model: ModelSource = Field(description="The model that the servers load.")
    queue: Queue = Field(default_factory=Queue, description="Which queue is pulled, and under which names.")
    cache: Cache = Field(default_factory=Cache, description="Where the downloaded model is kept.")
    accelerator: Accelerator | None = Field(default=None, description="The GPU of each pod; if left out, the CPU.")
    slots: Annotated[int, Field(ge=1, le=16)] = Field(
        default=1, description="whisper-servers in each pod; they share its device, and each loads the model."
    )
    server: ServerOptions = Field(default_factory=ServerOptions, description="Options of whisper-server.")
    replicas: Replicas | None = Field(
        default=None,
        description="How many pods there are; 1 if left out. Autoscalers and `kubectl scale` write it: leave it out of "
        "what Git holds.",
    )
    suspend: bool = Field(default=False, description="Whether all pods are taken away; model and queue stay.")
    autoscaling: Autoscaling | None = Field(
        default=None, description="Scaling by the queue; if left out, replicas is left alone."
    )
    image: Annotated[str, Field(min_length=1, max_length=512)] | None = Field(
        default=None, description="Image of the worker; if left out, the operator's own for this accelerator."
    )
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = Field(
        default=None, description="When the image is pulled."
    )
    env: Annotated[
        list[EnvironmentVariable],
        Field(
            max_length=64,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = Field(default=[], description="Further environment variables of the worker and its servers.")
    resources: Resources = Field(default_factory=Resources, description="CPU and memory of each pod.")
    topology_spread_constraints: Annotated[
        list[AnyObject], passthrough("array", "Constraints.", items={"type": "object"}, maxItems=16)
    ] = Field(default=[], description="How the pods are spread, as in a pod; the label selector is filled in.")
    rollout: Rollout = Field(default_factory=Rollout, description="How changes reach the pods.")
    drain: Drain = Field(default_factory=Drain, description="How pods end.")
    probes: Probes = Field(default_factory=Probes, description="How pods are watched.")
    golden_clip: GoldenClip | None = Field(
        default=None,
        description="A recording whose text is known; no pod takes work before it has heard it right. If left out, a "
        "bundled one.",
    )
    network_policy: NetworkPolicy = Field(
        default_factory=NetworkPolicy, description="Who may reach the pods and what they may reach."
    )
    pod_disruption_budget: PodDisruptionBudget = Field(
        default_factory=PodDisruptionBudget, description="How many pods a node's drain may take at a time."
    )
    monitoring: Monitoring = Field(default_factory=Monitoring, description="How Prometheus finds the pods.")
    pod_template_patch: PodTemplatePatch | None = Field(
        default=None, description="Changes to the pods that no other field offers."
    )


class ModelStatus(Shape):
    name: str | None = Field(default=None, description="Canonical name, which is also the queue's.", max_length=253)
    file: str | None = Field(default=None, description="File on the volume.", max_length=512)
    bytes_total: Bytes | None = Field(default=None, description="Size of the file, where known.")
    bytes_downloaded: Bytes | None = Field(default=None, description="How much of it is there.")
    percent: int | None = Field(default=None, description="The same in percent.")


class QueueStatus(Shape):
    pending: int = Field(description="Windows that wait.")
    in_flight: int = Field(description="Windows in work.")


class WhisperServerStatus(Shape):
    """What is there."""

    observed_generation: Bytes | None = Field(default=None, description="The generation that this status is about.")
    conditions: Conditions = Field(default=[], description="What holds and what does not.")
    replicas: int = Field(default=0, description="Pods there are, ready or not.")
    ready_replicas: int = Field(default=0, description="Pods that take work.")
    updated_replicas: int = Field(default=0, description="Pods made from the present template.")
    selector: Annotated[str, Field(max_length=1024)] | None = Field(
        default=None, description="Label selector of the pods, for autoscalers."
    )
    model: ModelStatus | None = Field(default=None, description="The model and its download.")
    backend: Annotated[str, Field(max_length=100)] | None = Field(
        default=None, description="What computes, as whisper-server says: cpu, cuda, vulkan …"
    )
    queue: QueueStatus | None = Field(default=None, description="The work stream of this model.")


class WhisperServer(Shape):
    """whisper.cpp servers with a verified model on a volume, fed by a durable queue."""

    spec: WhisperServerSpec
    status: WhisperServerStatus | None = None
