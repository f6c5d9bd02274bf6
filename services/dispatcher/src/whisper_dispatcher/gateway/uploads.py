"""The file of an upload: hashed on its way, kept in memory while it is short, else streamed into the object store."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

from starlette.requests import Request

from whisper_contracts import names
from whisper_contracts.messages import MAX_INLINE_AUDIO_BYTES
from whisper_dispatcher.gateway.errors import ApiError, bad_request
from whisper_dispatcher.gateway.multipart import Form, FormReader
from whisper_dispatcher.jetstream import objects
from whisper_dispatcher.jetstream.errors import QueueFull, WrongLastSequence
from whisper_dispatcher.jetstream.streams import JetStream


class AudioUpload:
    """Ends with `commit` or `abort`; until `commit` nobody else sees the object."""

    def __init__(self, jetstream: JetStream, job: str, max_bytes: int) -> None:
        self._jetstream = jetstream
        self._max_bytes = max_bytes
        self._hash = hashlib.sha256()
        self._inline = bytearray()
        self._object: objects.Upload | None = None
        self._is_committed = False
        self.job = job
        self.size_bytes = 0

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    @property
    def inline(self) -> bytes | None:
        """The audio, if it travels inside a journal message."""
        return None if self._object else bytes(self._inline)

    async def write(self, data: bytes) -> None:
        self.size_bytes += len(data)
        if self.size_bytes > self._max_bytes:
            raise too_large(self._max_bytes)
        self._hash.update(data)
        if self._object:
            await self._object.write(data)
            return
        self._inline += data
        if len(self._inline) > MAX_INLINE_AUDIO_BYTES:
            self._object = objects.Upload(self._jetstream, names.AUDIO_BUCKET, self.job)
            await self._object.write(bytes(self._inline))
            self._inline.clear()

    async def commit(self, last_sequence: int | None = None) -> None:
        """last_sequence: as of `Upload.finish`, which refuses with WrongLastSequence."""
        # Before: without an answer it may be there, and whoever sends this file again is told so.
        self._is_committed = True
        if self._object:
            try:
                await self._object.finish(last_sequence)
            except (WrongLastSequence, QueueFull):
                self._is_committed = False
                raise

    async def abort(self) -> None:
        """After `commit` the audio stays: a record of it may be on disk although its writer saw an error."""
        if self._object and not self._is_committed:
            await self._object.abort()


def too_large(max_bytes: int) -> ApiError:
    return ApiError(
        413,
        f"The file is larger than the {max_bytes / 1e6:,.0f} MB this service accepts. Compress it, or split it and send the parts.",
        code="too_large",
        param="file",
        retry=False,
    )


def check_length(request: Request, max_bytes: int) -> None:
    """Refuses what is too large by its own header, before a byte is read. The form around the file is allowed for."""
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > max_bytes + 1024 * 1024:
        raise too_large(max_bytes)


async def read_form(request: Request, upload: AudioUpload) -> Form:
    """Reads the whole body; the file goes into `upload`."""
    form = await FormReader(request.headers.get("content-type", "")).read(_body(request), upload)
    if form.filename is None:
        raise bad_request("The form has no part named 'file'. Send the audio in it.", code="no_file", param="file")
    if upload.size_bytes == 0:
        raise bad_request("The file is empty. Send one that has audio in it.", code="empty_file", param="file")
    return form


async def _body(request: Request) -> AsyncIterator[bytes]:
    async for chunk in request.stream():
        yield chunk
    request.scope["whisper.body_read"] = True
