"""One whisper-server process on this machine's loopback."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import secrets
import signal
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from whisper_contracts.failures import FailureReason, JobFailed
from whisper_dispatcher.loopback import HOST, free_port
from whisper_dispatcher.worker.inference_form import InferenceOptions, form_fields, multipart, wav
from whisper_dispatcher.worker.loopback_http import Response, exchange
from whisper_dispatcher.worker.server_log import Backend, complaint, describe_exit, parse_backend, parse_stage

log = structlog.get_logger()

HEALTH_TIMEOUT_S = 1.0
KEPT_LINES = 200
"""Enough for a whole start-up and for the error above a usage text."""

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class ServerFailed(Exception):
    """A whisper-server cannot be used. The message says why, in whisper-server's own words where it had some."""

    reason = "server_failed"
    """For whoever reads the worker's last log line."""


class GoldenClipFailed(ServerFailed):
    reason = "golden_clip"


class CpuFallback(ServerFailed):
    reason = "cpu_fallback"


class ModelRefused(ServerFailed):
    """whisper-server is not shown the file: it would exit, or answer nonsense."""

    reason = "not_a_model"


@dataclass(frozen=True, slots=True)
class ServerConfig:
    binary: Path
    """A script in its place must `exec` the server, or signals stop at the script."""
    model: Path
    threads: int = 2
    language: str = "auto"
    """ISO-639-1 or auto; used where a job names none."""
    gpu_required: bool = False
    """Whether a server that computes on the CPU is of no use."""
    extra_args: tuple[str, ...] = ()
    start_limit_s: float = 300.0
    """The first start on a new kind of GPU may compile its kernels for minutes."""


class WhisperServer:
    """Started once, stopped once; a dead one is replaced, not revived."""

    def __init__(self, config: ServerConfig, *, on_doubt: Callable[[], None] = lambda: None) -> None:
        """on_doubt: called when an inference failed in a way that puts the server itself in question."""
        self.config = config
        self.backend: Backend | None = None
        self._on_doubt = on_doubt
        # /load moves behind the prefix too, and a server that took our port by chance answers 404.
        self._prefix = f"/{secrets.token_hex(8)}"
        self._port = 0
        self._process: asyncio.subprocess.Process | None = None
        self._stderr_reader: asyncio.Task[None] | None = None
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._inference_lock = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def is_busy(self) -> bool:
        return self._inference_lock.locked()

    @property
    def stage(self) -> str:
        """How far it has come, for people."""
        if not self.is_alive:
            return "down"
        return "running" if self.backend else parse_stage(self._lines)

    async def start(self) -> None:
        """Returns when /health answered; raises ServerFailed, with nothing left running."""
        self._port = free_port()
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                # A group of its own: Ctrl-C in a terminal must reach the worker alone, which then drains.
                start_new_session=True,
                preexec_fn=_dies_with(os.getpid()),
            )
        except OSError as error:
            raise ServerFailed(
                f"whisper-server cannot be started from {self.config.binary}: {error.strerror}"
            ) from error
        self._stderr_reader = asyncio.create_task(self._read_stderr(self._process))
        try:
            async with asyncio.timeout(self.config.start_limit_s):
                await self._until_healthy(self._process)
        except TimeoutError:
            stage, said = self.stage, complaint(self._lines)
            await self.stop(0)
            limit_s = self.config.start_limit_s
            raise ServerFailed(f"whisper-server was still {stage} after {limit_s:g} s: {said}") from None
        except BaseException:
            await self.stop(0)
            raise
        self.backend = parse_backend(self._lines)

    async def exited(self) -> str:
        """Waits for the end of the process and describes it."""
        assert self._process and self._stderr_reader, "start() comes first"
        code = await self._process.wait()
        await asyncio.wait({self._stderr_reader}, timeout=1)
        return describe_exit(code, self._lines)

    async def stop(self, drain_s: float) -> None:
        """SIGTERM lets whisper-server finish what it has accepted; what is left after drain_s is killed."""
        process = self._process
        if process and process.returncode is None:
            if drain_s > 0:
                _signal_group(process.pid, signal.SIGTERM)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), drain_s)
            if process.returncode is None:
                _signal_group(process.pid, signal.SIGKILL)
            await process.wait()
        if self._stderr_reader:
            self._stderr_reader.cancel()
            await asyncio.wait({self._stderr_reader})

    async def inference(self, pcm: bytes, options: InferenceOptions, timeout_s: float) -> bytes:
        """The body of verbose_json. pcm: s16le, mono, 16 kHz.

        Raises JobFailed. After a timeout or a cancellation the connection is closed, which stops whisper-server
        at its next token or encoder pass. Only one call at a time: whisper-server would let a second one wait.
        """
        if self._inference_lock.locked():
            raise RuntimeError("this whisper-server is busy: it gets one window at a time")
        async with self._inference_lock:
            try:
                return await self._post(pcm, options, timeout_s)
            except JobFailed as failure:
                log.warning("inference failed", pid=self.pid, reason=failure.reason, cause=str(failure.__cause__ or ""))
                if failure.reason != FailureReason.BAD_AUDIO:
                    self._on_doubt()
                raise

    async def _post(self, pcm: bytes, options: InferenceOptions, timeout_s: float) -> bytes:
        body, content_type = multipart(form_fields(options, self.config.language), wav(pcm))
        path = f"{self._prefix}/inference"
        try:
            async with asyncio.timeout(timeout_s):
                response = await exchange(self._port, "POST", path, body=body, content_type=content_type)
        except TimeoutError as error:
            raise JobFailed(FailureReason.TIMEOUT) from error
        except (OSError, EOFError) as error:
            raise JobFailed(FailureReason.SERVER_UNAVAILABLE) from error
        if response.status != 200:
            raise JobFailed(reason_of(response.status)) from ServerFailed(_excerpt(response))
        return response.body

    async def _until_healthy(self, process: asyncio.subprocess.Process) -> None:
        delay_s = 0.01
        while not await self._answers_health():
            if process.returncode is not None:
                raise ServerFailed(await self.exited())
            await asyncio.sleep(delay_s)
            delay_s = min(0.25, delay_s * 1.5)

    async def _answers_health(self) -> bool:
        # The port is bound only after the model is loaded; 404 means that a model is being loaded.
        try:
            async with asyncio.timeout(HEALTH_TIMEOUT_S):
                return (await exchange(self._port, "GET", f"{self._prefix}/health")).status == 200
        except (OSError, EOFError, TimeoutError):
            return False

    def _command(self) -> list[str]:
        config = self.config
        return [
            str(config.binary),
            *("--model", str(config.model)),
            *("--threads", str(config.threads)),
            *("--language", config.language),
            *config.extra_args,
            *("--host", HOST, "--port", str(self._port), "--request-path", self._prefix),
        ]

    async def _read_stderr(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr
        rest = ""
        # Not readline(): it raises on a line longer than its buffer, and an unread pipe stops the server.
        while chunk := await process.stderr.read(4096):
            *lines, rest = (rest + chunk.decode(errors="replace")).split("\n")
            self._lines.extend(lines)
            rest = rest[-4096:]
        self._lines.append(rest)


def reason_of(status: int) -> FailureReason:
    """Only the status counts: whisper-server replaces the bodies of its own error answers."""
    if status == 400:
        return FailureReason.BAD_AUDIO
    if status == 404:
        return FailureReason.SERVER_UNAVAILABLE
    return FailureReason.SERVER_ERROR


def _excerpt(response: Response) -> str:
    return f"HTTP {response.status}: {response.body[:200].decode(errors='replace')}"


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)


def _dies_with(parent_pid: int) -> Callable[[], None] | None:
    """Runs in the child before exec: the kernel kills the server when the worker is gone, however it went."""
    if _libc is None:
        return None
    prctl = _libc.prctl

    def die_with_parent() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent_pid:
            os._exit(1)

    return die_with_parent
