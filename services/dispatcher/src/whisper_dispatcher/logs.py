"""Structured logs on stderr: one line a decision, with job and trace; never audio, transcripts or keys."""

from __future__ import annotations

import logging
import sys

import structlog


def configure(process: str, *, as_json: bool) -> None:
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)


def trace_id(traceparent: str) -> str:
    """The W3C trace id of a `traceparent`, for log lines; empty when there is none."""
    parts = traceparent.split("-")
    return parts[1] if len(parts) == 4 else ""
