"""With what the workers log in to the queue."""

from __future__ import annotations

import base64

from whisper_operator.naming import metadata, nats_secret_name
from whisper_operator.server import Manifest, Server
from whisper_operator.settings import OperatorSettings


def nats_secret(server: Server, settings: OperatorSettings) -> Manifest:
    given = {"user": settings.worker_nats_user, "password": settings.worker_nats_password}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(server, nats_secret_name(server)),
        "type": "Opaque",
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in given.items() if value},
    }
