"""With what the workers log in to the queue."""

from __future__ import annotations

import base64
import time

from whisper_operator.naming import metadata, nats_secret_name
from whisper_operator.nats_users import worker_credentials
from whisper_operator.resources import Manifest
from whisper_operator.server import Server
from whisper_operator.settings import OperatorSettings

CREDENTIALS_KEY = "nats.creds"


def nats_secret(server: Server, queue: str, settings: OperatorSettings) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(server, nats_secret_name(server)),
        "type": "Opaque",
        "data": {
            key: base64.b64encode(value.encode()).decode()
            for key, value in _contents(server, queue, settings).items()
            if value
        },
    }


def _contents(server: Server, queue: str, settings: OperatorSettings) -> dict[str, str | None]:
    if settings.signing is None:
        return {"user": settings.worker_nats_user, "password": settings.worker_nats_password}
    name = f"{server.namespace}/{server.name}"
    return {
        CREDENTIALS_KEY: worker_credentials(settings.signing, uid=server.uid, name=name, queue=queue, now_s=time.time())
    }
