"""Settings of the bot, from the environment. Secrets are never printed, not even when they are wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from whisper_dispatcher.settings import ProcessSettings

MIB = 1024 * 1024
CLOUD_DOWNLOAD_BYTES = 20 * MIB
"""What Telegram's own servers let a bot download."""
LOCAL_DOWNLOAD_BYTES = 2000 * MIB

Ids = Annotated[frozenset[int], NoDecode]
"""Written with commas: `12,-100345`."""


class _Token(BaseSettings):
    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    telegram_bot_token: SecretStr


class BotSettings(ProcessSettings):
    """Field `bot_allowed` is read from WHISPERFLEET_BOT_ALLOWED, and so on; the token from TELEGRAM_BOT_TOKEN."""

    without_prefix: ClassVar[frozenset[str]] = frozenset({"telegram_bot_token"})

    telegram_bot_token: SecretStr = Field(default_factory=lambda: _Token().telegram_bot_token, exclude=True)
    """From @BotFather."""

    url: str = "http://127.0.0.1:8080"
    """Of the gateway."""
    api_key: SecretStr
    """The bot's own key at the gateway."""

    telegram_api_url: str = "https://api.telegram.org"
    """Or that of a Bot API server of your own."""
    telegram_local_files: bool = False
    """The Bot API server is a local one started with --local: files of up to 2000 MB, read from its folder."""

    bot_allowed: Ids = frozenset()
    """Ids of users and groups that are served; empty = everybody."""
    bot_admins: Ids = frozenset()
    """Chats that hear of the bot's own troubles."""
    bot_minutes_per_day: float | None = Field(default=None, gt=0)
    """Of audio, per user; left out, as many as are sent."""
    bot_jobs_in_flight: int | None = Field(default=None, ge=1)
    """The same of recordings at a time."""
    bot_records_ttl_s: int = Field(default=7 * 24 * 3600, ge=3600)
    """How long it is remembered which message was answered how."""
    bot_open_messages: int = Field(default=1000, ge=1)
    """Worked on at a time; further ones wait in their stream."""

    bot_stream_replicas: int = Field(default=1, ge=1)
    """Of the bot's two streams, when they are made: as many as the queue's have."""

    bot_webhook_url: str | None = None
    """Public https address that Telegram pushes updates to; left out, it polls."""
    bot_webhook_secret: SecretStr | None = None
    """Telegram sends it with each update."""
    bot_webhook_host: str = "127.0.0.1"
    """Where it listens for them; a proxy in front ends TLS."""
    bot_webhook_port: int = 8081

    work_dir: Path | None = None
    """Where files lie between Telegram and the gateway; left out, the system's temporary folder."""
    probe_host: str = "127.0.0.1"
    """0.0.0.0 lets other machines ask."""
    probe_port: int = 0
    """Of `/healthz`, `/readyz` and `/metrics`; 0 = any free one."""

    @field_validator("bot_allowed", "bot_admins", mode="before")
    @classmethod
    def _ids(cls, value: object) -> object:
        return [part for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _webhook_has_a_secret(self) -> Self:
        if self.bot_webhook_url and not self.bot_webhook_secret:
            raise ValueError("a webhook needs WHISPERFLEET_BOT_WEBHOOK_SECRET, or anybody could push updates")
        return self

    @property
    def token(self) -> str:
        return self.telegram_bot_token.get_secret_value()

    @property
    def max_download_bytes(self) -> int:
        return LOCAL_DOWNLOAD_BYTES if self.telegram_local_files else CLOUD_DOWNLOAD_BYTES
