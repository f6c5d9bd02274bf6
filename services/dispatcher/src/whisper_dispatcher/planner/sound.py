"""From any recording to s16le mono PCM at 16 kHz. Runs in the cage: the one module that calls FFmpeg."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Final

import av
from av.audio.fifo import AudioFifo
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container.input import InputContainer
from av.filter import Graph

from whisper_contracts.failures import FailureReason, JobFailed
from whisper_contracts.pcm import SAMPLE_RATE_HZ
from whisper_dispatcher.planner.sniff import ADVICE, why_unreadable

# Formats that carry their sound inside. Playlists (hls, dash, concat …) name other files and are none of them.
CONTAINERS: Final = (
    *("wav", "w64", "aiff", "caf", "au", "mp3", "aac", "ac3", "eac3", "flac", "ogg", "amr", "amrnb", "amrwb"),
    *("mov", "matroska", "webm", "asf", "avi", "flv", "mpegts", "mpeg", "wv", "tta", "ape", "gsm"),
)
# No video or image decoder ever runs: they are most of FFmpeg's code and of its holes.
CODECS: Final = (
    *(name for name in sorted(av.codecs_available) if name.startswith("pcm_")),
    *("aac", "aac_latm", "ac3", "eac3", "alac", "ape", "dca", "flac", "opus", "libopus", "vorbis", "speex"),
    *("mp1", "mp1float", "mp2", "mp2float", "mp3", "mp3float", "wmav1", "wmav2", "wmapro", "wmavoice", "wmalossless"),
    *("amrnb", "amrwb", "libopencore_amrnb", "libopencore_amrwb", "gsm", "gsm_ms", "g722", "g726", "tta", "wavpack"),
    *("adpcm_ms", "adpcm_ima_wav", "adpcm_ima_qt", "adpcm_yamaha", "nellymoser", "truehd", "mlp", "qdm2"),
)
OPTIONS: Final = {
    "format_whitelist": ",".join(CONTAINERS),
    "codec_whitelist": ",".join(CODECS),
    "protocol_whitelist": "none",
}
HEAD_BYTES: Final = 4096
BLOCK_SAMPLES: Final = 4096
"""Frames are gathered before they are filtered: a voice note has fifty a second, and each costs a call of the graph."""


def write_pcm(source: BinaryIO, sink: BinaryIO, max_samples: int) -> int:
    """Decodes the first or best sound track; returns the samples written. Raises JobFailed.

    Damaged parts are left out, as every player does; what is still readable of a cut-off file is decoded.
    """
    head = source.read(HEAD_BYTES)
    source.seek(0)
    samples = 0
    for block in _blocks(source, head):
        samples += len(block) // 2
        if samples > max_samples:
            raise too_long(max_samples / SAMPLE_RATE_HZ)
        sink.write(block)
    if samples == 0:
        raise JobFailed(FailureReason.BAD_AUDIO, why_unreadable(head))
    return samples


def too_long(max_duration_s: float) -> JobFailed:
    return JobFailed(
        FailureReason.TOO_LONG,
        f"The recording is longer than the {max_duration_s:.0f} s this service accepts. Split it and send the parts.",
    )


def _blocks(source: BinaryIO, head: bytes) -> Iterator[bytes]:
    try:
        container = av.open(source, "r", options=OPTIONS, metadata_errors="ignore")
    except MemoryError:
        raise
    except (av.FFmpegError, ValueError) as error:
        raise JobFailed(FailureReason.BAD_AUDIO, why_unreadable(head)) from error
    with container:
        resampler = Resampler()
        for frame in _frames(container, _sound_track(container), head):
            yield from resampler.push(frame)
        yield from resampler.flush()


def _sound_track(container: InputContainer) -> AudioStream:
    track = container.streams.best("audio")
    if not isinstance(track, AudioStream):
        kind = container.format.long_name or container.format.name
        raise JobFailed(
            FailureReason.NO_AUDIO_STREAM, f"The file ({kind}) has no sound track. Send one that has audio in it."
        )
    # A track without any decoder has no codec context, whatever the type says.
    name = track.codec_context.name if track.codec_context else "an unknown way"
    if name not in CODECS:
        raise JobFailed(
            FailureReason.BAD_AUDIO,
            f"The sound is coded as {name}, which this service does not decode. Convert it and send it again.",
        )
    track.codec_context.thread_count = 1
    return track


def _frames(container: InputContainer, track: AudioStream, head: bytes) -> Iterator[AudioFrame]:
    readable = damaged = 0
    try:
        for packet in container.demux(track):
            try:
                frames = packet.decode()
            except MemoryError:
                raise
            except av.FFmpegError:
                damaged += 1
                continue
            readable += 1
            yield from (frame for frame in frames if isinstance(frame, AudioFrame))
    except MemoryError:
        raise
    except av.FFmpegError:
        damaged += 1
    # Random bytes contain something like an MP3 frame now and then.
    if damaged > readable:
        raise JobFailed(FailureReason.BAD_AUDIO, f"Most of the file's sound is damaged. {ADVICE}")


class Resampler:
    """Mixes to one channel and resamples. A track whose rate or channels change on the way gets a new filter graph.

    av.AudioResampler does neither that nor leave the number of threads to its caller.
    """

    def __init__(self) -> None:
        self._graph = Graph()
        self._shape: tuple[str, str, int] | None = None
        self._waiting = AudioFifo()

    def push(self, frame: AudioFrame) -> Iterator[bytes]:
        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        if shape != self._shape:
            yield from self.flush()
            self._graph, self._shape, self._waiting = _resampling_graph(*shape), shape, AudioFifo()
        # Time stamps are guesses in many files; the samples count themselves.
        frame.pts = None
        self._waiting.write(frame)
        if self._waiting.samples >= BLOCK_SAMPLES:
            yield from self._filtered()

    def flush(self) -> Iterator[bytes]:
        if self._shape is not None:
            yield from self._filtered()
            self._graph.push(None)
            yield from _pulled(self._graph)

    def _filtered(self) -> Iterator[bytes]:
        if block := self._waiting.read():
            self._graph.push(block)
            yield from _pulled(self._graph)


def _resampling_graph(sample_format: str, layout: str, rate_hz: int) -> Graph:
    graph = Graph()
    graph.threads = 1
    source = graph.add("abuffer", sample_rate=str(rate_hz), sample_fmt=sample_format, channel_layout=layout)
    target = graph.add("aformat", sample_rates=str(SAMPLE_RATE_HZ), sample_fmts="s16", channel_layouts="mono")
    try:
        graph.link_nodes(source, target, graph.add("abuffersink")).configure()
    except MemoryError:
        raise
    except av.FFmpegError as error:
        raise JobFailed(
            FailureReason.BAD_AUDIO,
            f"This service cannot mix sound of this kind ({layout} at {rate_hz} Hz) down to one channel. "
            "Convert it to mono or stereo and send it again.",
        ) from error
    return graph


def _pulled(graph: Graph) -> Iterator[bytes]:
    while True:
        try:
            frame = graph.pull()
        except (av.BlockingIOError, EOFError):
            return
        if isinstance(frame, AudioFrame):
            # The plane is padded beyond its samples.
            yield bytes(frame.planes[0])[: 2 * frame.samples]
