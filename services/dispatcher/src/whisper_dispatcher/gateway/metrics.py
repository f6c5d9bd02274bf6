"""What Prometheus is told."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Counter("whisper_gateway_requests_total", "Answered HTTP requests", ["method", "route", "status"])
LATENCY = Histogram(
    "whisper_gateway_request_seconds",
    "Time from the request to the end of its answer",
    ["method", "route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
ACCEPTED = Counter("whisper_gateway_jobs_accepted_total", "Jobs accepted", ["class"])
JOINED = Counter("whisper_gateway_jobs_joined_total", "Uploads that joined a running job")
ACTIVE = Gauge("whisper_gateway_jobs_active", "Jobs accepted and not final")
SETTLED = Counter("whisper_gateway_windows_settled_total", "Windows that workers have transcribed, or failed for good")
JOURNAL_USED = Gauge("whisper_gateway_journal_used_ratio", "Share of the journal's bytes in use; uploads end at 0.8")
CONNECTED = Gauge("whisper_gateway_queue_current", "1 while everything the gateway knows is as NATS has it")
