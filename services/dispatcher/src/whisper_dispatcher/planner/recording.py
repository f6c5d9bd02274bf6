"""One job's audio on its way to windows: fetched, decoded, mapped into memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from whisper_contracts import names
from whisper_contracts.failures import FailureReason, JobFailed
from whisper_contracts.messages import JobRecord, WindowSpan
from whisper_contracts.pcm import SAMPLE_RATE_HZ
from whisper_dispatcher.jetstream import objects
from whisper_dispatcher.jetstream.errors import QueueUnavailable
from whisper_dispatcher.jetstream.streams import JetStream
from whisper_dispatcher.planner.decode import Decoder
from whisper_dispatcher.planner.wav import plain_wav
from whisper_dispatcher.planner.work_dir import WorkDir, expected_bytes


@dataclass(frozen=True, slots=True)
class Recording:
    samples: npt.NDArray[np.int16]
    """16 kHz mono; long ones are mapped from a file."""

    @property
    def duration_s(self) -> float:
        return len(self.samples) / SAMPLE_RATE_HZ

    def window(self, span: WindowSpan) -> bytes:
        start, end = round(span.start_s * SAMPLE_RATE_HZ), round(span.end_s * SAMPLE_RATE_HZ)
        return self.samples[start:end].tobytes()


@asynccontextmanager
async def opened(
    jetstream: JetStream, record: JobRecord, decoder: Decoder, *, work_dir: WorkDir, max_audio_s: float
) -> AsyncIterator[Recording]:
    """Raises JobFailed when the audio is gone, is no audio, or is too long; QueueUnavailable; OSError when the disk is full."""
    inline = None
    if record.audio_object is None:
        subject = names.audio_subject(record.client, record.job)
        stored = await jetstream.get_last(names.JOURNAL_STREAM, subject)
        if stored is None:
            if await jetstream.holds(names.JOURNAL_STREAM, subject):
                raise QueueUnavailable(f"a replica of {names.JOURNAL_STREAM} is behind")
            raise _gone(record)
        inline = stored.data
        if pcm := plain_wav(inline):
            yield _checked(np.frombuffer(pcm, np.int16), max_audio_s)
            return
    is_long = record.audio_object is not None
    with work_dir.folder(expected_bytes(record.size_bytes, max_audio_s) if is_long else 0) as folder:
        source: bytes | Path = inline if inline is not None else await _fetched(jetstream, record, folder)
        target = folder / "decoded.pcm"
        await decoder.decode(source, target, is_bulk=record.class_ == "bulk")
        if isinstance(source, Path):
            source.unlink()
        work_dir.measure(folder)
        samples = np.memmap(target, np.int16, "r") if target.stat().st_size else np.empty(0, np.int16)
        yield _checked(samples, max_audio_s)


async def _fetched(jetstream: JetStream, record: JobRecord, folder: Path) -> Path:
    path = folder / "upload"
    try:
        await objects.download(jetstream, names.AUDIO_BUCKET, record.audio_object or record.job, path)
    except FileNotFoundError as error:
        raise _gone(record) from error
    return path


def _checked(samples: npt.NDArray[np.int16], max_audio_s: float) -> Recording:
    recording = Recording(samples)
    if len(samples) == 0:
        raise JobFailed(
            FailureReason.BAD_AUDIO,
            "The file holds no sound: it is 0 seconds long. Check that it plays, and send it again.",
        )
    if recording.duration_s > max_audio_s:
        raise JobFailed(
            FailureReason.TOO_LONG,
            f"The recording is {recording.duration_s:.0f} s long; this service accepts {max_audio_s:.0f} s. "
            "Split it and send the parts.",
        )
    return recording


def _gone(record: JobRecord) -> JobFailed:
    return JobFailed(
        FailureReason.EXPIRED, f"The audio of job {record.job} is not stored any more. Send the file again."
    )


async def cut_in_thread(recording: Recording) -> tuple[WindowSpan, ...]:
    """Long recordings take seconds to scan; the event loop goes on meanwhile."""
    from whisper_dispatcher.planner.cut import cut_windows, frame_energy

    def cut() -> tuple[WindowSpan, ...]:
        return cut_windows(recording.duration_s, frame_energy(recording.samples))

    return await asyncio.to_thread(cut)
