"""The gateway's process: serves until SIGTERM, then lets waiting requests have their answer."""

from __future__ import annotations

import math
import socket

import uvicorn

from whisper_dispatcher.gateway.app import create_app
from whisper_dispatcher.gateway.gateway import Gateway
from whisper_dispatcher.gateway.settings import GatewaySettings

ANSWER_S = 5.0
"""For writing the last answers, after the wait for their text is over."""
IDLE_CONNECTION_S = 75


class DrainingServer(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, gateway: Gateway) -> None:
        super().__init__(config)
        self._gateway = gateway

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._gateway.drain()
        await super().shutdown(sockets)


def server(settings: GatewaySettings) -> DrainingServer:
    gateway = Gateway(settings)
    config = uvicorn.Config(
        create_app(gateway),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=IDLE_CONNECTION_S,
        timeout_graceful_shutdown=math.ceil(settings.drain_wait_s + ANSWER_S),
    )
    return DrainingServer(config, gateway)


def main() -> None:
    settings = GatewaySettings.load()
    settings.start_reporting("gateway")
    server(settings).run()
