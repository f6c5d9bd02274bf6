from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path

import pytest
from journal_harness import BehindAtFirst

from whisper_contracts import names
from whisper_dispatcher.jetstream import objects
from whisper_dispatcher.jetstream.errors import QueueUnavailable
from whisper_dispatcher.jetstream.streams import JetStream

BUCKET = names.AUDIO_BUCKET
STREAM = f"OBJ_{BUCKET}"


async def upload(jetstream: JetStream, name: str, data: bytes, piece_bytes: int = 64 * 1024) -> objects.Upload:
    """All but the end: `finish` is left to the caller."""
    uploading = objects.Upload(jetstream, BUCKET, name)
    for start in range(0, len(data), piece_bytes):
        await uploading.write(data[start : start + piece_bytes])
    return uploading


@pytest.mark.parametrize("size", [1, objects.CHUNK_BYTES, 3 * objects.CHUNK_BYTES, 1_000_003])
@pytest.mark.parametrize("piece_bytes", [4_096, 300_000])
async def test_what_is_uploaded_in_pieces_is_downloaded_whole(
    jetstream: JetStream, tmp_path: Path, size: int, piece_bytes: int
) -> None:
    data = random.Random(size).randbytes(size)
    name = f"whole-{size}-{piece_bytes}"
    uploading = await upload(jetstream, name, data, piece_bytes)
    await uploading.finish()
    await objects.download(jetstream, BUCKET, name, tmp_path / "audio")
    assert (tmp_path / "audio").read_bytes() == data
    assert uploading.size_bytes == size


async def test_an_object_is_not_there_before_its_end_and_not_after_its_deletion(
    jetstream: JetStream, tmp_path: Path
) -> None:
    uploading = await upload(jetstream, "ends", bytes(200_000))
    with pytest.raises(FileNotFoundError):
        await objects.download(jetstream, BUCKET, "ends", tmp_path / "audio")
    await uploading.finish()
    await objects.download(jetstream, BUCKET, "ends", tmp_path / "audio")
    await objects.delete(jetstream, BUCKET, "ends")
    with pytest.raises(FileNotFoundError):
        await objects.download(jetstream, BUCKET, "ends", tmp_path / "audio")
    await objects.delete(jetstream, BUCKET, "ends")


async def test_an_object_that_a_replica_lacks_is_not_taken_for_gone(jetstream: JetStream, tmp_path: Path) -> None:
    uploading = await upload(jetstream, "behind", bytes(200_000))
    await uploading.finish()
    stored = await jetstream.get_last(STREAM, objects._info_subject(BUCKET, "behind"))
    assert stored
    chunks = f"$O.{BUCKET}.C.{json.loads(stored.data)['nuid']}"
    behind = BehindAtFirst(jetstream, stored.subject, chunks)
    for _ in (stored.subject, chunks):
        with pytest.raises(QueueUnavailable):
            await objects.download(behind, BUCKET, "behind", tmp_path / "audio")
    await objects.download(behind, BUCKET, "behind", tmp_path / "audio")
    assert (tmp_path / "audio").read_bytes() == bytes(200_000)
    await jetstream.purge(STREAM, chunks)
    with pytest.raises(FileNotFoundError):
        await objects.download(jetstream, BUCKET, "behind", tmp_path / "audio")
    await objects.delete(jetstream, BUCKET, "behind")


async def test_deleting_leaves_no_byte(jetstream: JetStream) -> None:
    before = await jetstream.subjects(STREAM, f"$O.{BUCKET}.>")
    uploading = await upload(jetstream, "gone", bytes(500_000))
    await uploading.finish()
    await objects.delete(jetstream, BUCKET, "gone")
    cut = await upload(jetstream, "cut", bytes(500_000))
    await cut.abort()
    assert await jetstream.subjects(STREAM, f"$O.{BUCKET}.>") == before


async def test_the_same_name_uploaded_again_is_the_newer_file(jetstream: JetStream, tmp_path: Path) -> None:
    for data in (b"a" * 200_000, b"b" * 100_000):
        await (await upload(jetstream, "twice", data)).finish()
    await objects.download(jetstream, BUCKET, "twice", tmp_path / "audio")
    assert (tmp_path / "audio").read_bytes() == b"b" * 100_000


async def test_a_sweep_takes_the_chunks_of_cut_uploads_alone(jetstream: JetStream, tmp_path: Path) -> None:
    whole = await upload(jetstream, "kept", bytes(300_000))
    await whole.finish()
    await upload(jetstream, "cut-long-ago", bytes(300_000))
    seen = await objects.sweep_chunks(jetstream, BUCKET, set())
    assert seen
    # At the first sight nothing is taken: it might be an upload under way, as this one is at the second.
    under_way = await upload(jetstream, "under-way", bytes(300_000))
    left = await objects.sweep_chunks(jetstream, BUCKET, seen)
    assert not await _chunks(jetstream) & seen
    assert left
    await under_way.finish()
    assert await objects.sweep_chunks(jetstream, BUCKET, left) == set()
    for name in ("kept", "under-way"):
        await objects.download(jetstream, BUCKET, name, tmp_path / name)
        assert (tmp_path / name).read_bytes() == bytes(300_000)


async def test_an_upload_that_lost_its_chunks_on_the_way_is_refused(jetstream: JetStream) -> None:
    """Two sweeps may come before the end of a very slow one."""
    slow = await upload(jetstream, "slow", bytes(300_000))
    seen = await objects.sweep_chunks(jetstream, BUCKET, set())
    await objects.sweep_chunks(jetstream, BUCKET, seen)
    await slow.write(bytes(300_000))
    with pytest.raises(QueueUnavailable, match="not all there any more"):
        await slow.finish()


async def test_two_uploads_of_one_name_at_once_leave_one_whole_object(jetstream: JetStream, tmp_path: Path) -> None:
    bodies = [b"a" * 400_000, b"b" * 400_000]
    uploads = await asyncio.gather(*(upload(jetstream, "race", body) for body in bodies))
    await asyncio.gather(*(uploading.finish() for uploading in uploads))
    await objects.download(jetstream, BUCKET, "race", tmp_path / "audio")
    assert (tmp_path / "audio").read_bytes() in bodies


async def _chunks(jetstream: JetStream) -> set[str]:
    return set(await jetstream.subjects(STREAM, f"$O.{BUCKET}.C.>"))
