"""The platform as manifests: NATS with one user per role, operator, gateway, planner."""

from __future__ import annotations

import hashlib
import json
from typing import Any, get_args

from tests.e2e.cluster.images import IMAGES

from whisper_dispatcher.local.nats_server import Role, permissions

Manifest = dict[str, Any]

PLATFORM = "whisperfleet"
"""Namespace of the platform; WhisperServers are in others."""
NATS_IMAGE = "docker.io/library/nats:2.15.1-alpine"
QUEUES = ("demo.en", "first", "second", "third")
"""Which the workers' user may pull."""
ANYWHERE = "0.0.0.0"  # noqa: S104  inside its pod; a forwarded port comes from the loopback
_USER_ID = 65532
_RESTRICTED = {
    "pod-security.kubernetes.io/enforce": "restricted",
    "pod-security.kubernetes.io/enforce-version": "latest",
}


def password(secret: str, role: Role) -> str:
    """Of one cluster, the same at each installation."""
    return hashlib.sha256(f"{secret} {role}".encode()).hexdigest()[:32]


def manifests(secret: str) -> list[Manifest]:
    return [
        namespace(PLATFORM),
        *_access(),
        _secret("nats-config", {"nats.conf": _nats_config(secret)}),
        *(_secret(f"nats-{role}", {"password": password(secret, role)}) for role in get_args(Role)),
        *_nats(),
        _deployment("operator", "operator", "admin", _operator_environment(), service_account="whisper-operator"),
        _deployment("planner", "dispatcher", "planner", _planner_environment(), args=["planner"]),
        _deployment("gateway", "dispatcher", "gateway", [_value("HOST", ANYWHERE)], args=["gateway"]),
        _service("gateway", 8080),
    ]


def namespace(name: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": _RESTRICTED}}


def _meta(name: str) -> Manifest:
    return {"name": name, "namespace": PLATFORM, "labels": {"app": name}}


def _secret(name: str, data: dict[str, str]) -> Manifest:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": _meta(name), "stringData": data}


def _nats_config(secret: str) -> str:
    users = [
        {"user": role, "password": password(secret, role), "permissions": permissions(role, QUEUES)}
        for role in get_args(Role)
        if role != "system"
    ]
    config = {
        "server_name": "nats-0",
        "listen": "0.0.0.0:4222",
        "http": "0.0.0.0:8222",
        "jetstream": {"store_dir": "/data", "max_file_store": 2 * 1024**3, "sync_interval": "always"},
        "accounts": {"SPEECH": {"jetstream": "enabled", "users": users}, "SYSTEM": {"users": []}},
        "system_account": "SYSTEM",
    }
    return json.dumps(config)


def _nats() -> list[Manifest]:
    container = {
        "name": "nats",
        "image": NATS_IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "args": ["--config", "/etc/nats/nats.conf"],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8222}, "periodSeconds": 1},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}, {"name": "config", "mountPath": "/etc/nats"}],
    }
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}},
    }
    stateful_set = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": _meta("nats"),
        "spec": {
            "serviceName": "nats",
            "selector": {"matchLabels": {"app": "nats"}},
            "template": restricted_pod(
                "nats", container, [{"name": "config", "secret": {"secretName": "nats-config"}}]
            ),
            "volumeClaimTemplates": [claim],
        },
    }
    return [stateful_set, _service("nats", 4222)]


def _service(name: str, port: int) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _meta(name),
        "spec": {"selector": {"app": name}, "ports": [{"port": port}]},
    }


def restricted_pod(
    name: str, container: Manifest, volumes: list[Manifest], service_account: str | None = None
) -> Manifest:
    container["securityContext"] = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    spec: Manifest = {
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER_ID,
            "runAsGroup": _USER_ID,
            "fsGroup": _USER_ID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationGracePeriodSeconds": 20,
        "containers": [container],
        "volumes": volumes,
    }
    if service_account:
        spec["serviceAccountName"] = service_account
    return {"metadata": {"labels": {"app": name}}, "spec": spec}


def _value(name: str, value: str) -> Manifest:
    return {"name": f"WHISPERFLEET_{name}", "value": value}


def _from_secret(name: str, secret: str) -> Manifest:
    return {"name": f"WHISPERFLEET_{name}", "valueFrom": {"secretKeyRef": {"name": secret, "key": "password"}}}


def _pod_address(name: str) -> Manifest:
    return {"name": f"WHISPERFLEET_{name}", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}


def _probed() -> list[Manifest]:
    return [_pod_address("PROBE_HOST"), _value("PROBE_PORT", "8080")]


def _operator_environment() -> list[Manifest]:
    worker = IMAGES["whisper-worker"].name
    return [
        *_probed(),
        _value("QUEUE_BYTES", str(2 * 1024**3)),
        _value("WORKER_NATS_USER", "worker"),
        _from_secret("WORKER_NATS_PASSWORD", "nats-worker"),
        _value("WORKER_IMAGES", json.dumps(dict.fromkeys(("cpu", "nvidia", "amd", "intel"), worker))),
        _value("MODELS_IMAGE", IMAGES["models"].name),
    ]


def _planner_environment() -> list[Manifest]:
    return [*_probed(), _value("WORK_DIR", "/tmp")]


def _deployment(
    name: str,
    image: str,
    role: Role,
    environment: list[Manifest],
    *,
    args: list[str] | None = None,
    service_account: str | None = None,
) -> Manifest:
    container = {
        "name": name,
        "image": IMAGES[image].name,
        "imagePullPolicy": "IfNotPresent",
        "args": args or [],
        "env": [
            _value("NATS_URL", f"nats://nats.{PLATFORM}.svc:4222"),
            _value("NATS_USER", role),
            _from_secret("NATS_PASSWORD", f"nats-{role}"),
            _value("LOG_JSON", "true"),
            *environment,
        ],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8080}, "periodSeconds": 1},
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 10, "failureThreshold": 6},
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _meta(name),
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "strategy": {"type": "Recreate"},
            "template": restricted_pod(name, container, [{"name": "tmp", "emptyDir": {}}], service_account),
        },
    }


def _access() -> list[Manifest]:
    write = ["get", "list", "watch", "create", "patch", "delete"]
    rules = [
        {"apiGroups": ["whisperfleet.dev"], "resources": ["whisperservers"], "verbs": ["get", "list", "watch"]},
        {
            "apiGroups": ["whisperfleet.dev"],
            "resources": ["whisperservers/status", "whisperservers/scale"],
            "verbs": ["get", "patch"],
        },
        {"apiGroups": ["whisperfleet.dev"], "resources": ["whisperservers/finalizers"], "verbs": ["update"]},
        {"apiGroups": [""], "resources": ["secrets", "services", "persistentvolumeclaims"], "verbs": write},
        {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": write},
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": write},
        {"apiGroups": ["policy"], "resources": ["poddisruptionbudgets"], "verbs": write},
        {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": write},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]},
    ]
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _meta("whisper-operator")},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "whisper-operator"},
            "rules": rules,
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "whisper-operator"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "whisper-operator"},
            "subjects": [{"kind": "ServiceAccount", "name": "whisper-operator", "namespace": PLATFORM}],
        },
    ]
