"""What the pods of a WhisperServer have in common: the worker's and the download's."""

from __future__ import annotations

from typing import Any

from whisper_operator.model_file import MOUNT_PATH, ModelFile, SecretVariable
from whisper_operator.naming import FETCH
from whisper_operator.owner import Owner
from whisper_operator.resources import Manifest
from whisper_operator.settings import OperatorSettings

USER_ID = 65532

TMP_VOLUME = {"name": "tmp", "emptyDir": {}}
TMP_MOUNT = {"name": "tmp", "mountPath": "/tmp"}  # noqa: S108  a volume of the pod's own

CONTAINER_SECURITY = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}


def pod_basics(owner: Owner) -> Manifest:
    """Restricted, without a token, and on the nodes that the servers may run on: where a download binds a claim, they follow."""
    spec = owner.spec
    wanted: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "fsGroup": USER_ID,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "imagePullSecrets": [{"name": name} for name in spec.image_pull_secrets],
        "nodeSelector": spec.node_selector,
        "affinity": spec.affinity,
        "tolerations": [toleration.model_dump(by_alias=True, exclude_none=True) for toleration in spec.tolerations],
        "priorityClassName": spec.priority_class_name,
        "schedulerName": spec.scheduler_name,
        "serviceAccountName": spec.service_account_name,
    }
    return {name: value for name, value in wanted.items() if value not in (None, [], {})}


def fetch_container(file: ModelFile, settings: OperatorSettings) -> Manifest:
    environment = [{"name": "HOME", "value": "/tmp"}]  # noqa: S108
    secrets = [
        {"name": variable.name, "valueFrom": {"secretKeyRef": _secret_key(variable)}} for variable in file.secrets
    ]
    return {
        "name": FETCH,
        "image": settings.models_image,
        "imagePullPolicy": settings.image_pull_policy,
        "args": [*file.fetch_arguments, "--dir", MOUNT_PATH],
        "env": [*environment, *secrets],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": CONTAINER_SECURITY,
        # The last line says why it failed.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": "model", "mountPath": MOUNT_PATH}, TMP_MOUNT],
    }


def _secret_key(variable: SecretVariable) -> Manifest:
    key: Manifest = {"name": variable.secret.name, "key": variable.secret.key}
    return key | ({"optional": True} if variable.optional else {})
