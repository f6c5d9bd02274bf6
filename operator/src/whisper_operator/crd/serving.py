"""The parts of a WhisperServer's spec that say how it serves: queue, volume, device, scaling and life."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from whisper_operator.crd.fields import (
    MAX_REPLICAS,
    ConfigMapKeyRef,
    IntOrPercent,
    LanguageCode,
    ObjectName,
    Quantity,
    QueueName,
    Shape,
    rule,
    rules,
    shape_config,
)
from whisper_operator.crd.schedules import Schedules

Replicas = Annotated[int, Field(ge=0, le=MAX_REPLICAS)]
Seconds = Annotated[int, Field(ge=0, le=86_400)]
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
        default=None,
        description="CPU threads of each whisper-server; if left out, its share of the CPU request in whole cores, or 2 "
        "without one.",
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
        rule(
            "!has(self.schedules) || self.schedules.all(each, each.minReplicas <= self.maxReplicas)",
            "a schedule's minReplicas must not exceed maxReplicas",
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
    schedules: Schedules = Field(default=[], description="Times at which more pods stay than minReplicas.")


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
        default=150,
        description="How long a pod that must go may take to finish its running windows, which are given "
        "server.windowTimeoutSeconds where that is longer.",
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
