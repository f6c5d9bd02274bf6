"""Settings of the worker."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from whisper_dispatcher.settings import ProcessSettings
from whisper_dispatcher.worker.golden import DEFAULT_MAX_WORD_ERROR_RATE


class WorkerSettings(ProcessSettings):
    model: str
    """Canonical name: which queue is pulled."""
    model_path: Path
    """The model's file, in whisper.cpp's format."""
    model_verified: bool = False
    """Its checksum was compared when it was put there, and seconds are saved; size and structure are looked at anyway."""
    whisper_server: Path
    """The program, a build of whisper.cpp."""
    slots: int = Field(default=1, ge=1)
    """whisper-servers on this device."""
    threads: int = Field(default=2, ge=1)
    """Of each whisper-server."""
    language: str = "auto"
    """Used where a job names none; a model whose name ends in .en speaks English whatever is set here."""
    gpu_required: bool = False
    """Whether a whisper-server that computes on the CPU instead of a GPU gets no work."""
    server_args: tuple[str, ...] = ()
    """Further arguments for whisper-server, as a JSON list."""
    probe_host: str = "127.0.0.1"
    """0.0.0.0 lets other machines ask."""
    probe_port: int = 0
    """Of `/healthz`, `/readyz` and `/metrics`; 0 = any free one."""
    window_timeout_s: float = Field(default=120.0, gt=0)
    """For one window; then its whisper-server is started anew and the window tried again."""
    drain_s: float = Field(default=60.0, ge=0)
    """A running window may take this long to finish once the worker is told to stop."""
    golden_clip: Path | None = None
    """Left out: the bundled clip, where it fits the language."""
    golden_text: str | None = None
    """What is said in that clip."""
    golden_max_word_error_rate: float = DEFAULT_MAX_WORD_ERROR_RATE
    """A whisper-server that hears the clip worse gets no work."""

    @property
    def server_language(self) -> str:
        return "en" if self.model.endswith(".en") else self.language
