"""Settings of the planner."""

from __future__ import annotations

import tempfile
from pathlib import Path

from pydantic import Field

from whisper_dispatcher.settings import ProcessSettings


class PlannerSettings(ProcessSettings):
    work_dir: Path = Field(default_factory=lambda: Path(tempfile.gettempdir()))
    """Decoded audio of the jobs being planned, 115 MB an hour of recording; left out, the system's temporary folder."""
    work_dir_bytes: int | None = Field(default=None, gt=0)
    """What they may take of it; a long recording that does not fit waits for others. Left out, what the disk has."""
    probe_host: str = "127.0.0.1"
    """0.0.0.0 lets other machines ask."""
    probe_port: int = 0
    """Of `/healthz`, `/readyz` and `/metrics`; 0 = any free one."""
    decoders: int = Field(default=2, ge=1)
    """Recordings decoded at a time, and one more that is a note."""
    interactive_jobs: int = Field(default=256, ge=1)
    """Jobs held at a time, by class; further ones wait in their stream."""
    bulk_jobs: int = Field(default=64, ge=1)
    """The same of long recordings."""
    max_audio_s: float = Field(default=12 * 3600, gt=0)
    """A longer recording fails as `too_long`."""
    windows_ahead: int = Field(default=32, ge=1)
    """Windows of one job queued at a time, so that a 10-hour file starves nobody and fills no disk."""
    interactive_max_s: float = 120.0
    """Longer recordings are bulk work, whatever the size of their file."""
    job_expiry_s: float = 7 * 24 * 3600
    """From its acceptance or requeue on, then a job that is not done fails as `expired`."""
    result_ttl_s: float = 24 * 3600
    """From the final state on, then transcript and record are erased."""
    dead_letter_ttl_s: float = 30 * 24 * 3600
    """The same of failed jobs, which keep their audio."""
    maintenance_every_s: float = Field(default=30.0, gt=0)
    """How often lost work is looked for and what is outlived erased."""
    callbacks_allow_private: bool = False
    """Webhooks to addresses that are not public: for tests and closed networks."""
