"""A recording's way from Telegram to the gateway."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import structlog

from whisper_bot.answers import refusal_text
from whisper_bot.errors import FileTooBig, FileUnavailable
from whisper_bot.gateway_client import GatewayClient, UploadRefused
from whisper_bot.records import Note
from whisper_bot.sentences import sentence
from whisper_bot.settings import MIB, BotSettings
from whisper_bot.telegram import Telegram
from whisper_bot.tracks import is_silent_video

log = structlog.get_logger()

AT_A_TIME = 8


class NotSubmitted(Exception):
    """The recording never became a job; `text` is the answer."""

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__()


class Transfers:
    def __init__(self, telegram: Telegram, gateway: GatewayClient, settings: BotSettings) -> None:
        self._telegram = telegram
        self._gateway = gateway
        self._settings = settings
        self._places = asyncio.Semaphore(AT_A_TIME)

    async def submit(self, note: Note) -> str:
        """The job's id; again, it is the same one. Raises NotSubmitted, TelegramAway, GatewayAway, KeyRefused."""
        async with self._places:
            with tempfile.TemporaryDirectory(dir=self._settings.work_dir, prefix="whisper-bot-") as folder:
                recording = await self._fetch(note, Path(folder))
                if await asyncio.to_thread(is_silent_video, recording):
                    raise NotSubmitted(sentence("no_sound", note.reads))
                return await self._send(note, recording)

    async def _fetch(self, note: Note, folder: Path) -> Path:
        assert note.file
        try:
            return await self._telegram.download(note.file.file_id, folder / "recording")
        except FileTooBig:
            limit = self._settings.max_download_bytes // MIB
            raise NotSubmitted(sentence("too_big", note.reads, limit=limit)) from None
        except FileUnavailable as reason:
            log.warning("file not handed out", note=note.key, reason=str(reason))
            raise NotSubmitted(sentence("file_gone", note.reads)) from None

    async def _send(self, note: Note, recording: Path) -> str:
        try:
            return await self._gateway.submit(recording, language=note.spoken, idempotency_key=note.idempotency_key)
        except UploadRefused as refusal:
            log.warning("upload refused", note=note.key, code=refusal.code, reason=str(refusal))
            raise NotSubmitted(refusal_text(refusal.code, note.reads)) from None
