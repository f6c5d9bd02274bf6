"""The processes that decode: killed, held still, out of room, waited for, closed."""

from __future__ import annotations

import asyncio
import fcntl
import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from audio_harness import encoded, started

from whisper_contracts.failures import JobFailed
from whisper_dispatcher.planner.decode import Decoder

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def decoder() -> AsyncIterator[Decoder]:
    async with started(7200) as decoder:
        yield decoder


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def zygote_pid(decoder: Decoder) -> int:
    assert decoder._zygote is not None
    return decoder._zygote.process.pid


async def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds() and time.monotonic() < deadline:  # noqa: ASYNC110 -- other processes set no event
        await asyncio.sleep(0.005)
    assert holds()


def has_an_order(pid: int) -> bool:
    """An idle child may still open files; one with an order may not."""
    return resource.prlimit(pid, resource.RLIMIT_NOFILE) == (0, 0)


async def decoding_child(decoder: Decoder) -> int:
    found: list[int] = []

    def is_decoding() -> bool:
        found[:] = filter(has_an_order, children_of(zygote_pid(decoder)))
        return bool(found)

    await until(is_decoding)
    return found[0]


@pytest.fixture
def hour(tmp_path: Path) -> Path:
    """Long enough to be met while it is being decoded."""
    source = tmp_path / "long.flac"
    source.write_bytes(encoded("flac", "flac", seconds=3600, rate_hz=8_000, hertz=0))
    return source


async def stopped_in_the_middle(
    decoder: Decoder, source: Path, target: Path, *, is_bulk: bool = False
) -> tuple[asyncio.Task[float], int]:
    """A decode whose child is held still, so that it cannot end before the test has acted."""
    task = asyncio.create_task(decoder.decode(source, target, is_bulk=is_bulk))
    child = await decoding_child(decoder)
    os.kill(child, signal.SIGSTOP)
    return task, child


async def test_cancelling_kills_the_child_and_removes_the_target(decoder: Decoder, hour: Path, target: Path) -> None:
    task, child = await stopped_in_the_middle(decoder, hour, target)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not Path(f"/proc/{child}").exists())
    assert not target.exists()


async def test_a_file_is_not_blamed_for_one_killed_child(decoder: Decoder, hour: Path, target: Path) -> None:
    """The machine may have been out of memory. It ended the job as bad audio."""
    task, child = await stopped_in_the_middle(decoder, hour, target)
    os.kill(child, signal.SIGKILL)
    assert await task == pytest.approx(3600, abs=1)


async def test_a_file_that_kills_two_children_is_bad_audio_and_the_next_file_decodes(
    decoder: Decoder, hour: Path, target: Path
) -> None:
    task, child = await stopped_in_the_middle(decoder, hour, target)
    os.kill(child, signal.SIGKILL)
    await until(lambda: not Path(f"/proc/{child}").exists())
    os.kill(await decoding_child(decoder), signal.SIGKILL)
    with pytest.raises(JobFailed, match="within the memory and time"):
        await task
    assert await decoder.decode(encoded("ogg", "libopus"), target) == pytest.approx(2, abs=0.1)


async def test_a_decode_after_the_zygote_died_starts_another(decoder: Decoder, target: Path) -> None:
    family = [zygote_pid(decoder), *children_of(zygote_pid(decoder))]
    for pid in family:
        os.kill(pid, signal.SIGKILL)
    assert await decoder.decode(encoded("ogg", "libopus"), target) == pytest.approx(2, abs=0.1)
    assert zygote_pid(decoder) != family[0]


async def test_an_order_that_nobody_took_is_given_again(decoder: Decoder, target: Path) -> None:
    """The whole family is held still, takes no order, and dies with the order unread."""
    family = [zygote_pid(decoder), *children_of(zygote_pid(decoder))]
    for pid in family:
        os.kill(pid, signal.SIGSTOP)
    task = asyncio.create_task(decoder.decode(encoded("ogg", "libopus"), target))
    await until(target.exists)
    for pid in reversed(family):  # the children die with their parent, so they come first
        os.kill(pid, signal.SIGKILL)
    assert await task == pytest.approx(2, abs=0.1)


async def test_audio_that_cannot_be_stored_is_not_the_files_fault(decoder: Decoder, target: Path) -> None:
    """Memory that may not grow is the target, as a disk that is full. It ended the job as `internal`."""
    storage = os.memfd_create("full", os.MFD_ALLOW_SEALING)
    fcntl.fcntl(storage, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW)
    target.symlink_to(f"/proc/self/fd/{storage}")
    with pytest.raises(OSError, match="Operation not permitted"):
        await decoder.decode(encoded("ogg", "libopus"), target)
    assert not target.is_symlink()
    os.close(storage)


async def test_more_files_than_workers_are_all_decoded(decoder: Decoder, tmp_path: Path) -> None:
    note = encoded("ogg", "libopus")
    targets = [tmp_path / f"{number}.pcm" for number in range(12)]
    durations = await asyncio.gather(*(decoder.decode(note, target) for target in targets))
    assert durations == pytest.approx([2] * 12, abs=0.1)


async def test_a_note_waits_for_no_bulk_decode(hour: Path, tmp_path: Path) -> None:
    decoder = Decoder(max_duration_s=7200, workers=1)
    await decoder.start()
    long, _ = await stopped_in_the_middle(decoder, hour, tmp_path / "1.pcm", is_bulk=True)
    waiting = asyncio.create_task(decoder.decode(hour, tmp_path / "2.pcm", is_bulk=True))
    await asyncio.sleep(0)  # it asks before the note does
    try:
        async with asyncio.timeout(20):
            note = await decoder.decode(encoded("ogg", "libopus"), tmp_path / "note.pcm")
        assert note == pytest.approx(2, abs=0.1)
        assert not (tmp_path / "2.pcm").exists(), "the slot of the notes was taken by bulk work"
    finally:
        for task in (long, waiting):
            task.cancel()
        await asyncio.gather(long, waiting, return_exceptions=True)
        await decoder.close()


async def test_closing_leaves_no_process_and_may_happen_twice(target: Path) -> None:
    decoder = Decoder(max_duration_s=60)
    await decoder.decode(encoded("ogg", "libopus"), target)
    family = [zygote_pid(decoder), *children_of(zygote_pid(decoder))]
    await decoder.close()
    await decoder.close()
    await until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in family))


async def test_a_decoder_can_gain_no_privileges(decoder: Decoder) -> None:
    await decoder.start()
    for pid in (zygote_pid(decoder), *children_of(zygote_pid(decoder))):
        assert "NoNewPrivs:\t1\n" in Path(f"/proc/{pid}/status").read_text()


def may_leave_the_network() -> bool:
    unshare = shutil.which("unshare")
    return unshare is not None and subprocess.run([unshare, "-Un", "true"], check=False).returncode == 0


@pytest.mark.skipif(not may_leave_the_network(), reason="this kernel keeps unprivileged processes in its network")
async def test_a_decoder_has_no_network_where_the_kernel_lets_it_leave(decoder: Decoder) -> None:
    await decoder.start()
    assert os.readlink(f"/proc/{zygote_pid(decoder)}/ns/net") != os.readlink("/proc/self/ns/net")
