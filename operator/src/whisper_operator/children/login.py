"""How the worker's pod gets what its Secret holds: as a file, which can be renewed under a running worker, or as
user and password."""

from __future__ import annotations

from whisper_operator.children.nats_secret import CREDENTIALS_KEY
from whisper_operator.naming import nats_secret_name
from whisper_operator.nats_users import inbox_prefix
from whisper_operator.resources import Manifest
from whisper_operator.server import Server
from whisper_operator.settings import OperatorSettings

_FOLDER = "/var/run/whisperfleet/nats"
_CA_FOLDER = "/var/run/whisperfleet/nats-ca"
_CA_FILE = "ca.crt"


def login_environment(server: Server, settings: OperatorSettings) -> list[Manifest]:
    authority = (
        [{"name": "WHISPERFLEET_NATS_CA", "value": f"{_CA_FOLDER}/{_CA_FILE}"}]
        if settings.worker_nats_ca_secret
        else []
    )
    if settings.signing:
        return [
            {"name": "WHISPERFLEET_NATS_CREDENTIALS", "value": f"{_FOLDER}/{CREDENTIALS_KEY}"},
            {"name": "WHISPERFLEET_NATS_INBOX_PREFIX", "value": inbox_prefix(server.uid)},
            *authority,
        ]
    return [
        *(
            {
                "name": f"WHISPERFLEET_NATS_{key.upper()}",
                "valueFrom": {"secretKeyRef": {"name": nats_secret_name(server), "key": key, "optional": True}},
            }
            for key in ("user", "password")
        ),
        *authority,
    ]


def login_mounts(settings: OperatorSettings) -> list[Manifest]:
    credentials = {"name": "nats", "mountPath": _FOLDER, "readOnly": True}
    authority = {"name": "nats-ca", "mountPath": _CA_FOLDER, "readOnly": True}
    return [*([credentials] if settings.signing else []), *([authority] if settings.worker_nats_ca_secret else [])]


def login_volumes(server: Server, settings: OperatorSettings) -> list[Manifest]:
    found: list[Manifest] = []
    if settings.signing:
        found.append({"name": "nats", "secret": {"secretName": nats_secret_name(server)}})
    if settings.worker_nats_ca_secret:
        items = [{"key": settings.worker_nats_ca_key, "path": _CA_FILE}]
        found.append({"name": "nats-ca", "secret": {"secretName": settings.worker_nats_ca_secret, "items": items}})
    return found
