"""Decoding strangers' files from the planner's side of the cage."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from whisper_contracts.failures import FailureReason, JobFailed
from whisper_contracts.pcm import SAMPLE_RATE_HZ
from whisper_dispatcher.planner.cage import BEYOND_LIMITS, PACKET_BYTES, READY, Order, Reply

# The slowest codec on the slowest core decodes far faster than this multiple of real time.
SLOWEST_SPEED: Final = 20
LEAST_CPU_S: Final = 10
# A busy machine gives a decoder a share of a core only.
WALL_PER_CPU: Final = 3
KILLED: Final = Reply(reason=FailureReason.BAD_AUDIO, message=BEYOND_LIMITS)
"""By a limit, by a fault in a decoder, or by the machine; which of them nobody tells."""


@dataclass(slots=True)
class Zygote:
    """The warm process that forks decoders, and the socket on which its children take orders."""

    process: Process
    control: socket.socket

    @classmethod
    async def start(cls, idle_children: int) -> Zygote:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "whisper_dispatcher.planner.cage", str(theirs.fileno()), str(idle_children)),
                stdin=DEVNULL,
                stdout=DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        ours.setblocking(False)
        zygote = cls(process, ours)
        try:
            if await asyncio.get_running_loop().sock_recv(ours, len(READY)) == READY:
                return zygote
            raise RuntimeError("The decoder process ended before it was ready; what it printed says why.")
        except BaseException:
            await zygote.close()
            raise

    def is_dead(self) -> bool:
        """Whether nobody is left to take an order: neither it nor a child that still waits for one."""
        try:
            return self.control.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except ConnectionError:
            return True

    async def close(self) -> None:
        self.control.close()
        await self.process.wait()


class Decoder:
    """Turns any recording into s16le mono PCM at 16 kHz, each in a confined process of its own.

    workers: how many at a time, and one more that bulk work never takes: no note waits behind an hour.
    """

    def __init__(self, *, max_duration_s: float, workers: int = 2) -> None:
        self._order = Order(max_duration_s, cpu_s=LEAST_CPU_S + int(max_duration_s / SLOWEST_SPEED))
        self._at_a_time = workers + 1
        self._slots = asyncio.Semaphore(self._at_a_time)
        self._bulk_slots = asyncio.Semaphore(workers)
        self._starting = asyncio.Lock()
        self._zygote: Zygote | None = None

    async def start(self) -> None:
        await self._living_zygote()

    async def close(self) -> None:
        if self._zygote is not None:
            zygote, self._zygote = self._zygote, None
            await zygote.close()

    async def decode(self, source: bytes | Path, target: Path, *, is_bulk: bool = False) -> float:
        """Writes target and returns its duration in seconds. However it fails, no target is left.

        JobFailed is the file's fault; OSError (a full disk), or RuntimeError when decoders die, is not.
        """
        async with self._bulk_slots if is_bulk else nullcontext(), self._slots:
            with _opened(source, target) as fds:
                reply = await self._ask(fds)
                if reply is None or reply is KILLED:
                    # Of a zygote that has just died, or a machine out of memory, the file may be innocent.
                    reply = await self._ask(fds)
                if reply is None:
                    raise RuntimeError("The decoder process died twice.")
                if reply.errno:
                    raise OSError(reply.errno, os.strerror(reply.errno), str(target))
                if reply.reason is not None:
                    raise JobFailed(FailureReason(reply.reason), reply.message)
                return reply.samples / SAMPLE_RATE_HZ

    async def _ask(self, fds: tuple[int, int]) -> Reply | None:
        """None: nobody took the order, so nothing is known about the file."""
        zygote = await self._living_zygote()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # Closing our end kills the child, however this coroutine is left.
        with ours:
            ours.setblocking(False)
            with theirs, suppress(ConnectionError):
                order = json.dumps(asdict(self._order)).encode()
                socket.send_fds(zygote.control, [order], [theirs.fileno(), *fds])
            try:
                async with asyncio.timeout(self._order.cpu_s * WALL_PER_CPU):
                    packet = await asyncio.get_running_loop().sock_recv(ours, PACKET_BYTES)
            except TimeoutError:
                return Reply(reason=FailureReason.BAD_AUDIO, message=BEYOND_LIMITS)
        if packet:
            return Reply(**json.loads(packet))
        if zygote.is_dead():
            return None
        return KILLED

    async def _living_zygote(self) -> Zygote:
        async with self._starting:
            if self._zygote is not None and self._zygote.is_dead():
                await self.close()
            if self._zygote is None:
                self._zygote = await Zygote.start(self._at_a_time + 1)
            return self._zygote


@contextmanager
def _opened(source: bytes | Path, target: Path) -> Iterator[tuple[int, int]]:
    """Descriptors of both ends; bytes lie in memory that no path leads to."""
    source_fd = os.memfd_create("upload") if isinstance(source, bytes) else os.open(source, os.O_RDONLY)
    try:
        if isinstance(source, bytes):
            with open(source_fd, "wb", closefd=False) as file:
                file.write(source)
        target_fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            yield source_fd, target_fd
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        finally:
            os.close(target_fd)
    finally:
        os.close(source_fd)
