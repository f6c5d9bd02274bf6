"""Settings of the processes, from environment variables that begin with WHISPERFLEET_."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import ClassVar, Self

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from whisper_dispatcher import logs, tracing
from whisper_dispatcher.jetstream.streams import JetStream

PREFIX = "WHISPERFLEET_"


def secret_folders() -> list[Path]:
    """Where systemd and container engines put secrets, each a file named like the variable in small letters."""
    folders = (Path(os.environ.get("CREDENTIALS_DIRECTORY", "/run/secrets")), Path("/run/secrets"))
    return [folder for folder in dict.fromkeys(folders) if folder.is_dir()]


class ProcessSettings(BaseSettings):
    """What every process needs. Field `nats_url` is read from WHISPERFLEET_NATS_URL, and so on, else from a file
    `whisperfleet_nats_url` in one of `secret_folders`.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True, secrets_dir=secret_folders())
    without_prefix: ClassVar[frozenset[str]] = frozenset()
    """Fields that are read from a variable of their own name alone."""

    nats_url: str = "nats://127.0.0.1:4222"
    """Several with commas between."""
    nats_user: str | None = None
    """With a password; where NATS checks credentials instead, neither is set."""
    nats_password: str | None = None
    nats_credentials: Path | None = None
    """A file of NATS' own kind, with a signed JWT and its key."""
    nats_inbox_prefix: str | None = None
    """Where replies come to, if the user may not listen on `_INBOX`; with a user it is `_INBOX_USER`, of the user's name."""
    nats_ca: Path | None = None
    """Certificate of the private authority that the servers' own are checked against."""
    log_json: bool = False
    """Each line of the log an object."""
    otlp_endpoint: str | None = None
    """OTLP/HTTP collector for traces, such as http://127.0.0.1:4318; needs the extra `telemetry`."""

    @classmethod
    def load(cls) -> Self:
        """Exits with a sentence for each wrong variable, without the value it had, which may be a secret."""
        try:
            return cls()
        except ValidationError as error:
            for problem in error.errors(include_input=False, include_context=False):
                field = str(problem["loc"][0]) if problem["loc"] else ""
                variable = f"{'' if field in cls.without_prefix else PREFIX}{field.upper()}: " if field else ""
                sys.stderr.write(f"{variable}{problem['msg'].removeprefix('Value error, ')}\n")
            sys.exit(2)

    def start_reporting(self, process: str) -> None:
        """Logs, and traces where they are asked for."""
        logs.configure(process, as_json=self.log_json)
        try:
            tracing.configure(process, self.otlp_endpoint)
        except tracing.TelemetryMissing as error:
            sys.exit(str(error))

    async def connect(self, name: str) -> JetStream:
        return await JetStream.connect(
            self.nats_url,
            name=name,
            user=self.nats_user,
            password=self.nats_password,
            credentials=str(self.nats_credentials) if self.nats_credentials else None,
            inbox_prefix=self.nats_inbox_prefix,
            ca_file=str(self.nats_ca) if self.nats_ca else None,
        )
