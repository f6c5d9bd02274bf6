"""The pod template of the servers: one container, the worker, which starts the whisper-servers itself."""

from __future__ import annotations

import json
from typing import Any

from whisper_operator.children.login import login_environment, login_mounts, login_volumes
from whisper_operator.children.pod import CONTAINER_SECURITY, TMP_MOUNT, TMP_VOLUME, fetch_container, pod_basics
from whisper_operator.crd.serving import Accelerator, ServerOptions
from whisper_operator.model_file import MOUNT_PATH
from whisper_operator.naming import WORKER, labels, selector_labels
from whisper_operator.quantities import whole_cores
from whisper_operator.resources import Manifest
from whisper_operator.rollouts import stamped
from whisper_operator.server import Server
from whisper_operator.settings import ImageFor, OperatorSettings
from whisper_operator.volume import ModelVolume, pod_volume

PORT = 8080
PORT_NAME = "http-worker"
CLIP_FOLDER = "/golden"
EXIT_MARGIN_S = 15
"""Beyond the drain, for closing connections, before the kubelet kills."""

RESOURCE_NAMES: dict[str, str] = {
    "nvidia": "nvidia.com/gpu",
    "amd": "amd.com/gpu",
    "intel": "gpu.intel.com/i915",
}


def queue_name(server: Server) -> str:
    name = server.spec.queue.name or server.spec.model.name
    assert name is not None  # a rule of the CRD
    return name


def resource_name(accelerator: Accelerator) -> str:
    return accelerator.resource_name or RESOURCE_NAMES[accelerator.vendor or "nvidia"]


def pod_template(server: Server, volume: ModelVolume, settings: OperatorSettings) -> Manifest:
    spec = server.spec
    wanted: dict[str, Any] = {
        "terminationGracePeriodSeconds": _drain_s(server) + EXIT_MARGIN_S,
        "runtimeClassName": spec.accelerator.runtime_class_name if spec.accelerator else None,
        "topologySpreadConstraints": [
            {"labelSelector": {"matchLabels": selector_labels(server, "worker")}} | constraint
            for constraint in spec.topology_spread_constraints
        ],
        "initContainers": [fetch_container(volume.file, settings)] if volume.fetched_by_pod else [],
        "containers": [_worker(server, volume, settings)],
        "volumes": _volumes(server, volume, settings),
    }
    template = {
        "metadata": {"labels": labels(server)},
        "spec": pod_basics(server) | {name: value for name, value in wanted.items() if value not in (None, [])},
    }
    return stamped(_patched(template, server))


def _drain_s(server: Server) -> int:
    """A window that has begun is waited for, however short the drain."""
    return max(server.spec.drain.timeout_seconds, server.spec.server.window_timeout_seconds)


def _patched(template: Manifest, server: Server) -> Manifest:
    patch = server.spec.pod_template_patch
    if patch is None:
        return template
    merged: Manifest = merge(template, patch.model_dump(by_alias=True, exclude_none=True))
    return merge(merged, {"metadata": {"labels": labels(server)}})


def merge(base: Manifest, patch: Manifest) -> Manifest:
    """JSON merge patch (RFC 7386) without deletion."""
    merged = dict(base)
    for name, value in patch.items():
        old = merged.get(name)
        merged[name] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _worker(server: Server, volume: ModelVolume, settings: OperatorSettings) -> Manifest:
    spec = server.spec
    clip_mount = [{"name": "golden-clip", "mountPath": CLIP_FOLDER, "readOnly": True}] if spec.golden_clip else []
    return {
        "name": WORKER,
        "image": worker_image(server, settings),
        "imagePullPolicy": spec.image_pull_policy or settings.image_pull_policy,
        "env": _environment(server, volume, settings),
        "ports": [{"name": PORT_NAME, "containerPort": PORT, "protocol": "TCP"}],
        "resources": _resources(server),
        "securityContext": CONTAINER_SECURITY,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "model", "mountPath": MOUNT_PATH, "readOnly": True},
            TMP_MOUNT,
            *login_mounts(settings),
            *clip_mount,
        ],
    } | _probes(server)


def worker_image(server: Server, settings: OperatorSettings) -> str:
    accelerator = server.spec.accelerator
    kind: ImageFor = "cpu" if accelerator is None else accelerator.vendor or "nvidia"
    return server.spec.image or settings.worker_images[kind]


def _resources(server: Server) -> Manifest:
    resources: Manifest = server.spec.resources.model_dump(exclude_none=True)
    accelerator = server.spec.accelerator
    if accelerator is None:
        return resources
    devices = {resource_name(accelerator): str(accelerator.count)}
    # An extended resource's request is its limit.
    return resources | {"limits": (resources.get("limits") or {}) | devices}


def _environment(server: Server, volume: ModelVolume, settings: OperatorSettings) -> list[Manifest]:
    own = [{"name": f"WHISPERFLEET_{name}", "value": value} for name, value in _settings(server, volume, settings)]
    # The pod's own address: one family or the other, as the cluster has it, and never the loopback alone.
    host = {"name": "WHISPERFLEET_PROBE_HOST", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    # GPU runtimes keep compiled kernels below HOME.
    home = {"name": "HOME", "value": "/tmp"}  # noqa: S108
    given = [variable.model_dump(by_alias=True, exclude_none=True) for variable in server.spec.env]
    return [*own, *login_environment(server, settings), host, home, *given]


def _settings(server: Server, volume: ModelVolume, settings: OperatorSettings) -> list[tuple[str, str]]:
    """Fields of the worker's settings, without their prefix."""
    spec = server.spec
    found = [
        ("NATS_URL", settings.queue_url),
        ("LOG_JSON", "true"),
        ("MODEL", queue_name(server)),
        ("MODEL_PATH", volume.file.mounted_path),
        ("SLOTS", str(spec.slots)),
        ("LANGUAGE", spec.server.language),
        ("SERVER_ARGS", json.dumps(server_arguments(spec.server, spec.accelerator))),
        ("WINDOW_TIMEOUT_S", str(spec.server.window_timeout_seconds)),
        ("DRAIN_S", str(spec.drain.timeout_seconds)),
        ("PROBE_PORT", str(PORT)),
    ]
    if volume.file.fetch_arguments or volume.kind == "SharedClaim":
        found.append(("MODEL_VERIFIED", "true"))
    if threads := _threads(server):
        found.append(("THREADS", str(threads)))
    if spec.accelerator and spec.accelerator.required:
        found.append(("GPU_REQUIRED", "true"))
    if settings.otlp_endpoint:
        found.append(("OTLP_ENDPOINT", settings.otlp_endpoint))
    if clip := spec.golden_clip:
        found += [
            ("GOLDEN_CLIP", f"{CLIP_FOLDER}/{clip.clip.key}"),
            ("GOLDEN_TEXT", clip.text),
            ("GOLDEN_MAX_WORD_ERROR_RATE", str(clip.max_word_error_rate)),
        ]
    return found


def _threads(server: Server) -> int | None:
    if server.spec.server.threads:
        return server.spec.server.threads
    cores = (server.spec.resources.requests or {}).get("cpu")
    return max(1, whole_cores(cores) // server.spec.slots) if cores else None


def server_arguments(options: ServerOptions, accelerator: Accelerator | None = None) -> list[str]:
    # OpenVINO computes on the CPU unless it is told otherwise.
    device = ["--ov-e-device", "GPU"] if accelerator and accelerator.vendor == "intel" else []
    beam = ["--beam-size", str(options.beam_size)] if options.beam_size else []
    best = ["--best-of", str(options.best_of)] if options.best_of else []
    flash = [] if options.flash_attention else ["--no-flash-attn"]
    return [*device, *beam, *best, *flash, *options.extra_args]


def _probes(server: Server) -> Manifest:
    probes = server.spec.probes
    ready, alive = ({"httpGet": {"path": path, "port": PORT_NAME}} for path in ("/readyz", "/healthz"))
    return {
        # Every second of waiting here is a second of the wake from zero.
        "startupProbe": ready | {"periodSeconds": 1, "failureThreshold": probes.startup_seconds, "timeoutSeconds": 1},
        "readinessProbe": ready
        | {"periodSeconds": probes.readiness_period_seconds, "failureThreshold": 2, "timeoutSeconds": 2},
        "livenessProbe": alive
        | {
            "periodSeconds": probes.liveness_period_seconds,
            "failureThreshold": probes.liveness_failures,
            "timeoutSeconds": 5,
        },
    }


def _volumes(server: Server, volume: ModelVolume, settings: OperatorSettings) -> list[Manifest]:
    clip = server.spec.golden_clip
    golden = [{"name": "golden-clip", "configMap": {"name": clip.clip.name}}] if clip else []
    return [pod_volume(server, volume), TMP_VOLUME, *login_volumes(server, settings), *golden]
