"""A video without sound is told from its table of tracks; what is not certain is left to the decoder."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from whisper_bot.tracks import is_silent_video
from whisper_models.bundled import sample_path

FASTSTART = {"mp4": {"movflags": "faststart"}, "mkv": {}}
CONTAINERS = {"mp4": "mpeg4", "mov": "mpeg4", "mkv": "mpeg4", "webm": "vp8"}


def video(path: Path, codec: str, sound: str = "", **options: str) -> Path:
    with av.open(str(path), "w", options=options) as container:
        pictures = container.add_stream(codec, rate=10)
        pictures.width = pictures.height = 32
        track = container.add_stream(sound, rate=48_000) if sound else None
        for number in range(5):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 20 * number, np.uint8))
            container.mux(pictures.encode(frame))
        container.mux(pictures.encode(None))
        if track:
            hum = av.AudioFrame.from_ndarray(np.zeros((1, 48_000), np.float32), "fltp", "mono")
            hum.rate = 48_000
            container.mux(track.encode(hum))
            container.mux(track.encode(None))
    return path


@pytest.mark.parametrize(("suffix", "codec"), CONTAINERS.items())
def test_a_video_is_silent_when_it_has_pictures_and_no_sound(tmp_path: Path, suffix: str, codec: str) -> None:
    assert is_silent_video(video(tmp_path / f"silent.{suffix}", codec))
    sound = "libopus" if suffix == "webm" else "aac"
    assert not is_silent_video(video(tmp_path / f"loud.{suffix}", codec, sound))


@pytest.mark.parametrize("options", [{"movflags": "faststart"}, {"movflags": "frag_keyframe+empty_moov"}])
def test_the_table_is_found_wherever_it_stands(tmp_path: Path, options: dict[str, str]) -> None:
    assert is_silent_video(video(tmp_path / "silent.mp4", "mpeg4", **options))
    assert not is_silent_video(video(tmp_path / "loud.mp4", "mpeg4", "aac", **options))


@pytest.mark.parametrize("sample", ["hello.wav", "voice-note.ogg", "note.m4a", "note.webm", "video.mp4", "minutes.mp3"])
def test_a_recording_is_never_taken_for_a_silent_video(sample: str) -> None:
    assert not is_silent_video(sample_path(sample))


def test_telegrams_own_kind_of_silent_video_is_known() -> None:
    assert is_silent_video(sample_path("silent-video.mp4"))


@pytest.mark.parametrize("suffix", FASTSTART)
def test_what_is_cut_off_is_never_called_silent_for_a_track_that_is_missing(tmp_path: Path, suffix: str) -> None:
    whole = video(tmp_path / f"loud.{suffix}", "mpeg4", "aac", **FASTSTART[suffix]).read_bytes()
    cut = tmp_path / "cut"
    for length in range(min(len(whole), 4000)):
        cut.write_bytes(whole[:length])
        assert not is_silent_video(cut), length


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no video at all",
        b"\0\0\0\x08free" * 100_000,
        b"\0\0\0\0moov" + b"\0\0\0\0trak" * 10_000,
        b"\x1a\x45\xdf\xa3" + b"\x80" + b"\xae\xff" * 100_000,
        b"\x1a\x45\xdf\xa3\x80\x83\x01" + b"\xff" * 7,
        # Beyond what a file system can seek to.
        b"\x1a\x45\xdf\xa3\x80" + b"\x18\x53\x80\x67\x01" + b"\xff" * 7 + b"\xec\x01" + (1 << 50).to_bytes(7, "big"),
    ],
)
def test_what_makes_no_sense_ends_soon_and_is_not_silent(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd"
    path.write_bytes(content)
    assert not is_silent_video(path)
