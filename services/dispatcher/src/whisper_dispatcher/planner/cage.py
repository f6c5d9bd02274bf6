"""The cage: confined processes, forked ahead of need, each of which decodes one file and ends.

Decoders are large, old C code fed with strangers' files. Here they can open nothing (no file, no socket), start
nothing, gain no privilege, and have bounded memory, time and output. Their parent has loaded FFmpeg, has one thread and
only forks, so a short note waits for neither an interpreter nor a fork.

An order is one JSON packet on a socket that all idle children read, with three descriptors: reply, source, target.
The child answers on its reply socket and ends. Whoever closes the other end of that kills the child.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import gc
import io
import json
import os
import resource
import signal
import socket
import sys
import wave
from dataclasses import asdict, dataclass
from typing import Final

from whisper_contracts.failures import FailureReason, JobFailed
from whisper_contracts.pcm import BYTES_PER_SECOND, SAMPLE_RATE_HZ
from whisper_dispatcher.planner.sniff import ADVICE
from whisper_dispatcher.planner.sound import write_pcm

MEMORY_BYTES: Final = 1 << 30
READY: Final = b"ready"
PACKET_BYTES: Final = 4096
NO_MORE_ORDERS: Final = 3

PR_SET_NO_NEW_PRIVS: Final = 38
CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWNET: Final = 0x40000000

BEYOND_LIMITS: Final = f"The file could not be decoded within the memory and time this service allows. {ADVICE}"


@dataclass(frozen=True, slots=True)
class Order:
    max_duration_s: float
    cpu_s: int


@dataclass(frozen=True, slots=True)
class Reply:
    samples: int = 0
    reason: FailureReason | None = None
    message: str = ""
    errno: int = 0
    """Of the system that could not read or store the audio: not the file's fault."""


def main(control_fd: int, idle_children: int) -> None:
    # Ctrl-C in a terminal reaches the whole group; the planner decides when its decoders end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    silence = _silence()
    # What is loaded at first use is loaded before the first fork.
    _warm_up(silence)
    gc.freeze()
    leave_network()
    children: set[int] = set()
    with socket.socket(fileno=control_fd) as control:
        control.send(READY)
        while True:
            while len(children) < idle_children:
                children.add(_fork_child(control, silence))
            pid, status = os.wait()
            children.discard(pid)
            if os.waitstatus_to_exitcode(status) == NO_MORE_ORDERS:
                return


def leave_network() -> None:
    """Into a network without interfaces, where the kernel lets an unprivileged process do that."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.unshare(CLONE_NEWUSER | CLONE_NEWNET)


def confine(order: Order) -> None:
    limits = {
        resource.RLIMIT_AS: MEMORY_BYTES,
        resource.RLIMIT_CPU: order.cpu_s,
        resource.RLIMIT_FSIZE: int(order.max_duration_s * BYTES_PER_SECOND) + BYTES_PER_SECOND,
        # The descriptors it holds stay usable; a new one, of a file or a socket, is refused.
        resource.RLIMIT_NOFILE: 0,
        # Root is exempt from this one.
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_CORE: 0,
    }
    for limit, value in limits.items():
        resource.setrlimit(limit, (value, value))


def _silence() -> bytes:
    """A moment of it, as a WAV file that has to be resampled."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(2)
        writer.setsampwidth(2)
        writer.setframerate(48_000)
        writer.writeframes(bytes(4 * 4800))
    return file.getvalue()


def _warm_up(silence: bytes) -> None:
    write_pcm(io.BytesIO(silence), io.BytesIO(), SAMPLE_RATE_HZ)


def _fork_child(control: socket.socket, silence: bytes) -> int:
    pid = os.fork()
    if pid == 0:
        # Nothing may unwind into the parent's code.
        try:
            os._exit(_carry_out_one(control, silence))
        finally:
            os._exit(1)
    return pid


def _carry_out_one(control: socket.socket, silence: bytes) -> int:
    # Copies the memory that decoding writes to, which the file to come would wait for.
    _warm_up(silence)
    packet, fds, _, _ = socket.recv_fds(control, PACKET_BYTES, 3)
    control.close()
    if not packet:
        return NO_MORE_ORDERS
    order = Order(**json.loads(packet))
    reply_fd, source_fd, target_fd = fds
    with socket.socket(fileno=reply_fd) as reply:
        _die_with(reply)
        confine(order)
        answer = json.dumps(asdict(_decode(order, source_fd, target_fd))).encode()
        _yield_to_the_planner()
        reply.send(answer)
    return 0


def _die_with(reply: socket.socket) -> None:
    """The kernel kills this process as soon as nobody waits for its reply: cancelled, timed out, or planner dead."""
    fcntl.fcntl(reply, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(reply, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(reply, fcntl.F_SETFL, os.O_ASYNC)


def _yield_to_the_planner() -> None:
    """Or taking this process's memory apart, some milliseconds of the kernel's, may come before the planner's turn."""
    if sys.platform == "linux":
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def _decode(order: Order, source_fd: int, target_fd: int) -> Reply:
    # A second try gets the same descriptors, wherever the first one left them.
    os.lseek(source_fd, 0, os.SEEK_SET)
    os.lseek(target_fd, 0, os.SEEK_SET)
    os.ftruncate(target_fd, 0)
    try:
        with open(source_fd, "rb") as source, open(target_fd, "wb") as target:
            return Reply(samples=write_pcm(source, target, int(order.max_duration_s * SAMPLE_RATE_HZ)))
    except JobFailed as failure:
        return Reply(reason=failure.reason, message=failure.message)
    except MemoryError:
        return Reply(reason=FailureReason.BAD_AUDIO, message=BEYOND_LIMITS)
    except OSError as error:
        return Reply(errno=error.errno or errno.EIO)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
