"""WhisperServer, v1alpha1: whisper.cpp servers with a verified model, fed by the queue."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from whisper_operator.crd.fields import (
    AnyObject,
    Bytes,
    Conditions,
    ConfigMapKeyRef,
    IntOrPercent,
    LanguageCode,
    ObjectName,
    Quantity,
    QueueName,
    Resources,
    Shape,
    StringMap,
    Toleration,
    passthrough,
    rule,
    rules,
    shape_config,
)
from whisper_operator.crd.model_source import ModelSource

MAX_NAME_LENGTH = 50
"""So that the longest child's name, and every label made of it, has at most 63 characters."""
MAX_REPLICAS = 1000

Replicas = Annotated[int, Field(ge=0, le=MAX_REPLICAS)]
Seconds = Annotated[int, Field(ge=0, le=86_400)]
PodLabels = StringMap
Argument = Annotated[str, Field(max_length=200)]

CacheMode = Literal["PerServer", "PerPod", "ExistingClaim", "Ephemeral"]
AccessMode = Literal["ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany", "ReadOnlyMany"]
Vendor = Literal["nvidia", "amd", "intel"]


class Queue(Shape):
    name: QueueName | None = Field(
        default=None,
        description="Canonical model name whose queue these servers pull and under which clients ask for them; the "
        "catalogue's name of the model if left out.",
    )
    aliases: Annotated[list[QueueName], Field(max_length=16)] = Field(
        default=[], description="Further names under which clients may ask for this model, such as whisper-1."
    )
    languages: Annotated[list[LanguageCode], Field(max_length=100)] = Field(
        default=[],
        description="Languages that clients may ask for, as ISO 639 codes; empty = all that the model knows.",
    )
    default: bool = Field(default=False, description="Whether requests that name no model come here.")


class Cache(Shape):
    model_config = shape_config(
        rule(
            "!has(self.claimName) || (has(self.mode) && self.mode == 'ExistingClaim')",
            "claimName goes with mode ExistingClaim",
        ),
        rule(
            "!has(self.mode) || self.mode != 'ExistingClaim' || has(self.claimName)",
            "mode ExistingClaim needs claimName",
        ),
    )

    mode: CacheMode | None = Field(
        default=None,
        description="Where the model is kept. PerServer: one claim that all pods mount. PerPod: a claim for each pod, "
        "gone with it. ExistingClaim: the claim that you name. Ephemeral: the node's disk, downloaded by every pod. "
        "If left out: PerServer, or PerPod where a claim that one node alone can mount would serve more than one pod.",
    )
    claim_name: ObjectName | None = Field(default=None, description="The claim of mode ExistingClaim.")
    size: Quantity | None = Field(
        default=None,
        description="Size of the claim; if left out, room for two versions of the model. It may only grow.",
    )
    storage_class_name: Annotated[str, Field(max_length=253)] | None = Field(
        default=None, description="Storage class of the claim; the cluster's default if left out."
    )
    access_mode: AccessMode = Field(default="ReadWriteOnce", description="Access mode of the claim.")
    retention: Literal["Delete", "Retain"] = Field(
        default="Delete", description="What happens to the claim when the WhisperServer is deleted."
    )


class Accelerator(Shape):
    model_config = shape_config(
        rule("has(self.vendor) || has(self.resourceName)", "give vendor or resourceName"),
    )

    vendor: Vendor | None = Field(default=None, description="Whose GPU; decides image and resource name.")
    resource_name: Annotated[str, Field(pattern=r"^[a-z0-9.-]+/[A-Za-z0-9._-]+$", max_length=253)] | None = Field(
        default=None,
        description="Extended resource that a pod asks for; the vendor's if left out. MIG profiles and time-sliced GPUs "
        "have names of their own, such as nvidia.com/mig-1g.5gb and nvidia.com/gpu.shared.",
    )
    count: Annotated[int, Field(ge=1, le=16)] = Field(default=1, description="How many of it each pod gets.")
    required: bool = Field(
        default=True, description="Whether a pod that computes on the CPU instead is kept from becoming ready."
    )
    shared: bool = Field(
        default=False, description="Whether several pods fit on one device, so that a rollout may start new pods first."
    )
    runtime_class_name: ObjectName | None = Field(
        default=None, description="Runtime class of the pods, such as nvidia."
    )


class ServerOptions(Shape):
    language: Annotated[str, Field(pattern="^(auto|[a-z]{2,3})$", max_length=4)] = Field(
        default="auto", description="Language of recordings for which a job names none, as ISO 639 code or auto."
    )
    threads: Annotated[int, Field(ge=1, le=256)] | None = Field(
        default=None, description="CPU threads of each whisper-server; if left out, the whole cores of the CPU request."
    )
    beam_size: Annotated[int, Field(ge=1, le=16)] | None = Field(
        default=None, description="Beams of the search; more find more and take longer."
    )
    best_of: Annotated[int, Field(ge=1, le=16)] | None = Field(
        default=None, description="Candidates among which the best is kept when sampling."
    )
    flash_attention: bool = Field(default=True, description="Whether attention is computed in the fast way.")
    window_timeout_seconds: Annotated[int, Field(ge=5, le=3600)] = Field(
        default=120, description="How long one window of at most 30 s of audio may take."
    )
    extra_args: Annotated[list[Argument], Field(max_length=32)] = Field(
        default=[],
        description="Further arguments of whisper-server.",
        json_schema_extra=rules(
            rule(
                "self.all(word, !(word.split('=')[0] in ['--host', '--port', '-m', '--model', '-t', '--threads', '-l', "
                "'--language', '--public', '--request-path', '--inference-path', '--convert', '--tmp-dir']))",
                "host, port, model, threads, language, public, paths, convert and tmp-dir are set by the operator",
            )
        ),
    )


class Autoscaling(Shape):
    model_config = shape_config(
        rule(
            "!has(self.minReplicas) || self.minReplicas <= self.maxReplicas", "minReplicas must not exceed maxReplicas"
        ),
    )

    min_replicas: Replicas = Field(default=0, description="How many pods stay when nothing waits; 0 = none.")
    max_replicas: Annotated[int, Field(ge=1, le=MAX_REPLICAS)] = Field(description="How many pods there may be.")
    pending_windows_per_replica: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=4, description="Windows, waiting or running, for each pod; a window is at most 30 s of audio."
    )
    scale_up_delay_seconds: Seconds = Field(default=0, description="How long the need must last before pods are added.")
    scale_down_delay_seconds: Seconds = Field(
        default=300, description="How long fewer pods must have been enough before some are taken away."
    )


class Rollout(Shape):
    max_surge: IntOrPercent | None = Field(
        default=None,
        description="How many pods a rollout may add; if left out, 0 where the device or the volume serves one pod "
        "only, else 1.",
    )
    max_unavailable: IntOrPercent | None = Field(
        default=None,
        description="How many pods a rollout may take away first; if left out, 1 where maxSurge is 0, else 0.",
    )
    progress_deadline_seconds: Annotated[int, Field(ge=30, le=86_400)] = Field(
        default=1800, description="How long a rollout may make no progress before it counts as failed."
    )


class Drain(Shape):
    timeout_seconds: Annotated[int, Field(ge=5, le=3600)] = Field(
        default=150, description="How long a pod that must go may take to finish its running windows."
    )


class Probes(Shape):
    startup_seconds: Annotated[int, Field(ge=10, le=7200)] = Field(
        default=900, description="How long a pod may take to load its model and hear its golden clip."
    )
    readiness_period_seconds: Annotated[int, Field(ge=1, le=300)] = Field(
        default=5, description="How often readiness is asked for."
    )
    liveness_period_seconds: Annotated[int, Field(ge=1, le=300)] = Field(
        default=10, description="How often it is asked whether the worker is alive."
    )
    liveness_failures: Annotated[int, Field(ge=1, le=100)] = Field(
        default=6, description="After how many missing answers in a row the pod is restarted."
    )


class GoldenClip(Shape):
    clip: ConfigMapKeyRef = Field(description="A WAV file, 16-bit mono at 16 kHz, as binary data of a ConfigMap.")
    text: Annotated[str, Field(min_length=1, max_length=2000)] = Field(description="What is said in it.")
    max_word_error_rate: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.34, description="Share of the words that may be wrong."
    )


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
        default=False, description="Whether there is a PodMonitor, where the cluster knows that kind."
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


class WhisperServerSpec(Shape):
    """What is wanted."""

    model_config = shape_config(
        rule(
            "has(self.model.name) || (has(self.queue) && has(self.queue.name))",
            "queue.name is needed where the model is not from the catalogue",
        ),
        rule(
            "!has(self.model.claim) || !has(self.cache)",
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
    image_pull_secrets: Annotated[list[ObjectName], Field(max_length=16)] = Field(
        default=[], description="Secrets, in the same namespace, for the image's registry."
    )
    env: Annotated[
        list[EnvironmentVariable],
        Field(
            max_length=64,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = Field(default=[], description="Further environment variables of the worker and its servers.")
    resources: Resources = Field(default_factory=Resources, description="CPU and memory of each pod.")
    node_selector: StringMap | None = Field(default=None, description="Labels of the nodes that may run the pods.")
    affinity: Annotated[AnyObject, passthrough("object", "Affinity.")] | None = Field(
        default=None, description="Affinity of the pods, as in a pod."
    )
    tolerations: Annotated[list[Toleration], Field(max_length=32)] = Field(
        default=[], description="Taints that the pods endure."
    )
    topology_spread_constraints: Annotated[
        list[AnyObject], passthrough("array", "Constraints.", items={"type": "object"}, maxItems=16)
    ] = Field(default=[], description="How the pods are spread, as in a pod; the label selector is filled in.")
    priority_class_name: ObjectName | None = Field(default=None, description="Priority class of the pods.")
    scheduler_name: ObjectName | None = Field(default=None, description="Scheduler of the pods.")
    service_account_name: ObjectName | None = Field(
        default=None, description="Service account of the pods; its token is not mounted."
    )
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
