"""The parts of a WhisperServer's spec that its pods have around them: network, disruption, monitoring, patches."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from whisper_operator.crd.fields import (
    AnyObject,
    IntOrPercent,
    Shape,
    StringMap,
    passthrough,
    rule,
    shape_config,
)

PodLabels = StringMap

NetworkPeers = Annotated[
    list[AnyObject],
    passthrough("array", "Rules of the NetworkPolicy, as Kubernetes has them.", items={"type": "object"}, maxItems=32),
]


class NetworkPolicy(Shape):
    enabled: bool = Field(default=True, description="Whether there is a NetworkPolicy for the pods.")
    extra_ingress: NetworkPeers = Field(
        default=[], description="Ingress rules beside the probes' and metrics' port, as in a NetworkPolicy."
    )
    extra_egress: NetworkPeers = Field(
        default=[], description="Egress rules beside DNS, the queue and the model's source, as in a NetworkPolicy."
    )


class PodDisruptionBudget(Shape):
    enabled: bool = Field(default=True, description="Whether there is one while more than one pod is wanted.")
    max_unavailable: IntOrPercent = Field(default=1, description="How many pods may be evicted at a time.")


class Monitoring(Shape):
    pod_monitor: bool = Field(
        default=False,
        description="Whether there is a PodMonitor, where the operator makes them (the chart's `monitoring.podMonitors.enabled`).",
    )
    labels: StringMap | None = Field(
        default=None, description="Labels of the PodMonitor, by which Prometheus finds it."
    )
    interval_seconds: Annotated[int, Field(ge=5, le=3600)] = Field(default=30, description="How often it is scraped.")


class EnvironmentVariable(Shape):
    model_config = shape_config(
        rule("!self.name.startsWith('WHISPERFLEET_')", "names that begin with WHISPERFLEET_ are set by the operator"),
        rule("has(self.value) != has(self.valueFrom)", "give either value or valueFrom"),
    )

    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)] = Field(
        description="Name of the variable."
    )
    value: Annotated[str, Field(max_length=4096)] | None = Field(default=None, description="Its value.")
    value_from: Annotated[AnyObject, passthrough("object", "A source as in a pod, such as secretKeyRef.")] | None = (
        Field(
            default=None,
            description="Where its value comes from, as in a pod: secretKeyRef, configMapKeyRef, fieldRef.",
        )
    )


class PatchMetadata(Shape):
    labels: PodLabels | None = Field(default=None, description="Labels added to the pods.")
    annotations: Annotated[dict[str, Annotated[str, Field(max_length=4096)]], Field(max_length=64)] | None = Field(
        default=None, description="Annotations added to the pods."
    )


class PatchSecurityContext(Shape):
    run_as_user: Annotated[int, Field(ge=1)] | None = Field(default=None, description="User of the processes; never 0.")
    run_as_group: Annotated[int, Field(ge=1)] | None = Field(default=None, description="Group of the processes.")
    fs_group: Annotated[int, Field(ge=1)] | None = Field(default=None, description="Group that owns the volumes.")
    fs_group_change_policy: Literal["Always", "OnRootMismatch"] | None = Field(
        default=None, description="When the volumes' ownership is changed."
    )
    supplemental_groups: Annotated[list[int], Field(max_length=32)] | None = Field(
        default=None, description="Further groups, such as the one that may open the GPU's device files."
    )


class PatchSpec(Shape):
    security_context: PatchSecurityContext | None = Field(default=None, description="Users and groups of the pods.")
    host_aliases: (
        Annotated[list[AnyObject], passthrough("array", "Host aliases.", items={"type": "object"}, maxItems=32)] | None
    ) = Field(default=None, description="Entries of the pods' hosts file, as in a pod.")
    dns_policy: Literal["ClusterFirst", "Default", "None"] | None = Field(
        default=None, description="Where the pods look up names."
    )
    dns_config: Annotated[AnyObject, passthrough("object", "DNS settings.")] | None = Field(
        default=None, description="DNS settings of the pods, as in a pod."
    )


class PodTemplatePatch(Shape):
    metadata: PatchMetadata | None = Field(default=None, description="Labels and annotations of the pods.")
    spec: PatchSpec | None = Field(default=None, description="The parts of the pods that may be changed freely.")
