"""Prometheus metrics of the operator."""

from __future__ import annotations

from prometheus_client import Gauge

SERVERS = Gauge("whisper_operator_servers", "WhisperServers there are.")
SETTLED = Gauge(
    "whisper_operator_servers_settled", "Those whose children were as wanted, or made so, when last looked at."
)
