"""Settings of the gateway; each field is read from WHISPERFLEET_<FIELD>."""

from __future__ import annotations

from whisper_dispatcher.settings import ProcessSettings

MIB = 1024 * 1024


class GatewaySettings(ProcessSettings):
    host: str = "127.0.0.1"
    """Where it listens; 0.0.0.0 lets other machines in. TLS belongs in front."""
    port: int = 8080

    max_upload_bytes: int = 2 * 1024 * MIB
    """Of one request; more is answered with 413."""
    max_queued_jobs: int = 10_000
    """Jobs accepted and not final; above, uploads are answered with 429."""
    default_wait_s: float = 600.0
    """How long a request waits for its text when the client sets no limit; OpenAI's clients read for 600 s."""
    max_wait_s: float = 3600.0
    """The longest wait that a client may ask for."""
    drain_wait_s: float = 10.0
    """After SIGTERM a waiting request has this long to get its text; then it gets its job's address."""
    keep_alive_s: float = 15.0
    """Between the comments that keep an idle event stream open through proxies."""
    default_model_aliases: tuple[str, ...] = ("whisper-1",)
    """Names that mean the default model, besides the aliases of the models themselves."""
    callbacks_allow_private: bool = False
    """Webhooks may go to loopback and private addresses. The planner checks again when it delivers."""
