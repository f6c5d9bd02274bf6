"""Downloads one model file: resumed where it stopped, verified before it gets its name, never two at a time."""

from __future__ import annotations

import asyncio
import errno
import random
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from whisper_models.cache import exclusive_lock_async
from whisper_models.catalogue import CatalogueModel, model_url
from whisper_models.checksums import has_known_checksum
from whisper_models.ggml import MAGIC, InvalidModelFile, check_model_file
from whisper_models.part_file import PartFile
from whisper_models.ranges import continues_part, resume_headers, total_size_bytes
from whisper_models.s3 import EXPIRED_OR_MISPLACED, error_code

_LONGEST_DELAY_S = 30.0

Progress = Callable[[int, int | None], None]
"""Called with the bytes there are and the bytes there will be, where known."""

Sign = Callable[[str], Mapping[str, str]]
"""From an address to the headers that open it, made anew for every request: a signature has its time."""

_ERROR_BODY_BYTES = 4096

_CHECK_ADDRESS = "check the address or the mirror"
_MAKE_ROOM = "free some room, or give the volume more"
_GO_ELSEWHERE = "try again, or use another address or mirror"


class DownloadReason(StrEnum):
    UNREACHABLE = "Unreachable"
    UNAUTHORIZED = "Unauthorized"
    NOT_FOUND = "NotFound"
    STALLED = "Stalled"
    CHECKSUM_MISMATCH = "ChecksumMismatch"
    INSUFFICIENT_SPACE = "InsufficientSpace"
    NOT_A_MODEL = "NotAModel"


class DownloadFailed(Exception):
    """`message` is a sentence for the person who wanted the model."""

    def __init__(self, reason: DownloadReason, message: str) -> None:
        self.reason = reason
        self.message = message
        super().__init__(message)


class _Interrupted(Exception):
    """Worth another attempt, which goes on with the bytes there are; `failure` is raised when there is none left."""

    def __init__(self, failure: DownloadFailed) -> None:
        self.failure = failure
        super().__init__(failure.message)


@dataclass(frozen=True)
class DownloadPolicy:
    """`attempts` counts tries in a row that brought no new byte; a slow, broken line may take as many as it needs."""

    attempts: int = 5
    first_delay_s: float = 1.0
    connect_timeout_s: float = 10.0
    stall_timeout_s: float = 30.0


DEFAULT_POLICY = DownloadPolicy()


async def download_model(
    model: CatalogueModel,
    folder: Path,
    *,
    mirror: str | None = None,
    token: str | None = None,
    sign: Sign | None = None,
    policy: DownloadPolicy = DEFAULT_POLICY,
    on_progress: Progress | None = None,
) -> Path:
    """Brings the model into `folder` under its own file name; one that is there and whole is not fetched again.

    token: sent as `Authorization: Bearer` to the model's own host, and to no host that it sends on to.
    sign: for what takes signed requests; a signature holds for one host, so no redirect is followed.

    Raises DownloadFailed; a part file stays for the next try unless its bytes were wrong.
    """
    target = folder / model.file
    if _is_there(target):
        return target
    _prepare_folder(folder)
    async with exclusive_lock_async(folder / f".{model.file}.lock"):
        if not _is_there(target):
            url = model_url(model, mirror)
            await _Transfer(model, PartFile(target), url, _opened_by(token, sign), policy, on_progress).run()
    return target


@dataclass(frozen=True)
class _Access:
    headers: Sign
    goes_to_other_hosts: bool


def _opened_by(token: str | None, sign: Sign | None) -> _Access:
    if sign:
        return _Access(sign, goes_to_other_hosts=False)
    bearer = {"Authorization": f"Bearer {token}"} if token else {}
    return _Access(lambda _url: bearer, goes_to_other_hosts=True)


def _is_there(target: Path) -> bool:
    try:
        check_model_file(target, checksum=False)
    except InvalidModelFile:
        return False
    return True


def _prepare_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DownloadFailed(
            DownloadReason.INSUFFICIENT_SPACE, f"The folder {folder} cannot be made ({error.strerror}). Choose another."
        ) from error


@dataclass
class _Transfer:
    model: CatalogueModel
    part: PartFile
    url: str
    access: _Access
    policy: DownloadPolicy
    on_progress: Progress | None

    async def run(self) -> None:
        if self.model.size_bytes is not None:
            self._check_space(self.model.size_bytes)
        timeout = httpx.Timeout(self.policy.stall_timeout_s, connect=self.policy.connect_timeout_s)
        async with httpx.AsyncClient(timeout=timeout, follow_redirects=self.access.goes_to_other_hosts) as client:
            await self._fetch_with_retries(client)
        await self._verify()
        self.part.finish()

    async def _fetch_with_retries(self, client: httpx.AsyncClient) -> None:
        failures = 0
        while not (self.model.size_bytes and self._is_complete(self.model.size_bytes)):
            size_before = self.part.size_bytes
            try:
                await self._fetch(client)
                return
            except _Interrupted as interrupted:
                failures = 1 if self.part.size_bytes > size_before else failures + 1
                if failures >= self.policy.attempts:
                    raise interrupted.failure from interrupted
                await asyncio.sleep(retry_delay_s(failures, self.policy.first_delay_s, random.random()))  # noqa: S311

    async def _fetch(self, client: httpx.AsyncClient) -> None:
        headers = resume_headers(self.part.size_bytes, self.part.etag) | dict(self.access.headers(self.url))
        try:
            async with client.stream("GET", self.url, headers=headers) as response:
                if self._was_complete(response):
                    return
                if response.status_code not in (200, 206, 416):
                    raise self._refusal(response.status_code, error_code(await _start_of(response)))
                total_bytes = self._accept(response)
                # Chunks as they come: a fixed size would hold back, and lose at a cut, what fills no chunk.
                async for chunk in response.aiter_raw():
                    self._append(chunk, total_bytes)
        except httpx.TransportError as error:
            raise _Interrupted(self._transport_failure(error)) from error
        except httpx.HTTPError as error:
            raise self._failed(
                DownloadReason.UNREACHABLE, f"could not be asked for ({error}); {_CHECK_ADDRESS}"
            ) from error
        if not self._is_complete(total_bytes):
            raise _Interrupted(self._failed(DownloadReason.UNREACHABLE, f"was cut off by the server; {_GO_ELSEWHERE}"))

    def _was_complete(self, response: httpx.Response) -> bool:
        """Nothing lies beyond the part: an earlier run was stopped before it could verify the file."""
        total_bytes = total_size_bytes(response.headers.get("Content-Range"), None)
        return response.status_code == 416 and total_bytes == self.part.size_bytes

    def _accept(self, response: httpx.Response) -> int | None:
        """Prepares the part file for the body that follows and returns how many bytes there will be."""
        if response.status_code == 416:
            self.part.discard()
            raise _Interrupted(
                self._failed(DownloadReason.UNREACHABLE, f"has another size than before; {_GO_ELSEWHERE}")
            )
        etag = response.headers.get("ETag")
        content_range = None
        if response.status_code == 206:
            content_range = response.headers.get("Content-Range")
            if not continues_part(content_range, etag, self.part.size_bytes, self.part.etag):
                self.part.discard()
                raise _Interrupted(
                    self._failed(DownloadReason.UNREACHABLE, f"changed while it was fetched; {_GO_ELSEWHERE}")
                )
        else:
            self.part.restart(etag)
        total_bytes = total_size_bytes(content_range, response.headers.get("Content-Length"))
        self._check_total(total_bytes)
        return total_bytes

    def _check_total(self, total_bytes: int | None) -> None:
        if total_bytes is None:
            return
        if self.model.size_bytes is None:
            self._check_space(total_bytes)
        elif total_bytes != self.model.size_bytes:
            self.part.discard()
            raise self._failed(
                DownloadReason.NOT_A_MODEL,
                f"has {total_bytes:,} bytes there instead of {self.model.size_bytes:,}, so it is another file; "
                f"{_CHECK_ADDRESS}",
            )

    def _append(self, chunk: bytes, total_bytes: int | None) -> None:
        try:
            self.part.append(chunk)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise self._failed(
                DownloadReason.INSUFFICIENT_SPACE, f"did not fit: the disk is full; {_MAKE_ROOM}"
            ) from error
        if self.on_progress:
            self.on_progress(self.part.size_bytes, total_bytes)

    def _is_complete(self, total_bytes: int | None) -> bool:
        """A server that names no size is believed when it ends the body; the checksum decides."""
        size_bytes = self.part.size_bytes
        return size_bytes > 0 and (total_bytes is None or size_bytes >= total_bytes)

    async def _verify(self) -> None:
        if await asyncio.to_thread(has_known_checksum, self.part.path, self.model):
            return
        is_model = self.part.starts_with(MAGIC)
        self.part.discard()
        if not is_model:
            what = f"is not a model there but something else, perhaps a web page; {_CHECK_ADDRESS}"
            raise self._failed(DownloadReason.NOT_A_MODEL, what)
        raise self._failed(DownloadReason.CHECKSUM_MISMATCH, f"has a wrong checksum and was deleted; {_GO_ELSEWHERE}")

    def _check_space(self, total_bytes: int) -> None:
        folder = self.part.path.parent
        needed_bytes = total_bytes - self.part.size_bytes
        free_bytes = shutil.disk_usage(folder).free
        if needed_bytes > free_bytes:
            raise self._failed(
                DownloadReason.INSUFFICIENT_SPACE,
                f"needs {needed_bytes:,} more bytes in {folder}, where {free_bytes:,} are free; {_MAKE_ROOM}",
            )

    def _refusal(self, status: int, code: str | None) -> Exception:
        """code: of an S3 server, which says more than its status."""
        said = f"HTTP {status}, {code}" if code else f"HTTP {status}"
        if status in (401, 403) or code in EXPIRED_OR_MISPLACED:
            what = f"is not given out without permission ({said}); check the token or the key"
            return self._failed(DownloadReason.UNAUTHORIZED, what)
        if status in (404, 410):
            return self._failed(DownloadReason.NOT_FOUND, f"is not there ({said}); {_CHECK_ADDRESS}")
        if status in (301, 302, 307, 308):
            what = f"is in another region or at another endpoint ({said}); name it"
            return self._failed(DownloadReason.NOT_FOUND, what)
        failure = self._failed(DownloadReason.UNREACHABLE, f"was refused with {said}; {_GO_ELSEWHERE}")
        return _Interrupted(failure) if status in (408, 429) or status >= 500 else failure

    def _transport_failure(self, error: httpx.TransportError) -> DownloadFailed:
        if isinstance(error, httpx.ReadTimeout):
            waited_s = self.policy.stall_timeout_s
            return self._failed(DownloadReason.STALLED, f"stopped coming: no byte for {waited_s:g} s; try again")
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            what = "could not be reached; check the network, or name a mirror"
            return self._failed(DownloadReason.UNREACHABLE, what)
        return self._failed(DownloadReason.UNREACHABLE, f"was cut off ({type(error).__name__}); {_GO_ELSEWHERE}")

    def _failed(self, reason: DownloadReason, what: str) -> DownloadFailed:
        # The host alone: an address may carry a password or a signature.
        host = urlsplit(self.url).hostname
        return DownloadFailed(reason, f"The model {self.model.name} ({self.model.file} from {host}) {what}.")


async def _start_of(response: httpx.Response) -> bytes:
    start = b""
    async for chunk in response.aiter_bytes():
        start += chunk
        if len(start) >= _ERROR_BODY_BYTES:
            break
    return start[:_ERROR_BODY_BYTES]


def retry_delay_s(failures: int, first_delay_s: float, jitter: float) -> float:
    """Doubles with every failure in a row up to half a minute; `jitter` from 0 to 1 spreads the upper half."""
    delay_s = min(first_delay_s * 2.0 ** (failures - 1), _LONGEST_DELAY_S)
    return delay_s * (0.5 + 0.5 * jitter)
