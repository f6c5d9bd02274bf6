"""Strangers' files through the real cage. Every recording is made here."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import pytest_asyncio
from audio_harness import encoded, picture, silent_video, started

from whisper_contracts.failures import FailureReason, JobFailed
from whisper_dispatcher.planner import decode
from whisper_dispatcher.planner.decode import Decoder

pytestmark = pytest.mark.asyncio(loop_scope="module")


def random_bytes(size_bytes: int, seed: int) -> bytes:
    return np.random.default_rng(seed).bytes(size_bytes)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def decoder() -> AsyncIterator[Decoder]:
    async with started(60) as decoder:
        yield decoder


def loudest_hertz(target: Path) -> float:
    pcm: npt.NDArray[np.int16] = np.fromfile(target, dtype="<i2")
    return float(np.argmax(np.abs(np.fft.rfft(pcm))) * 16_000 / len(pcm))


async def failure_of(decoder: Decoder, source: bytes | Path, target: Path) -> JobFailed:
    with pytest.raises(JobFailed) as caught:
        await decoder.decode(source, target)
    assert not target.exists()
    return caught.value


@pytest.mark.parametrize(
    ("container", "codec", "rate_hz", "layout"),
    [
        ("ogg", "libopus", 48_000, "mono"),
        ("webm", "libopus", 48_000, "stereo"),
        ("mp3", "libmp3lame", 44_100, "stereo"),
        ("mp4", "aac", 44_100, "stereo"),
        ("adts", "aac", 22_050, "mono"),
        ("flac", "flac", 44_100, "stereo"),
        ("wav", "pcm_s16le", 44_100, "stereo"),
        ("wav", "pcm_s24le", 96_000, "mono"),
        ("wav", "pcm_f32le", 8_000, "mono"),
        ("wav", "pcm_s16le", 16_000, "mono"),
        ("aiff", "pcm_s16be", 44_100, "stereo"),
        ("mpegts", "mp2", 48_000, "stereo"),
        ("asf", "wmav2", 44_100, "stereo"),
        ("avi", "pcm_s16le", 44_100, "stereo"),
    ],
)
async def test_a_recording_becomes_16_khz_mono_of_the_same_length_and_pitch(
    decoder: Decoder, target: Path, container: str, codec: str, rate_hz: int, layout: str
) -> None:
    data = encoded(container, codec, rate_hz=rate_hz, layout=layout)
    duration_s = await decoder.decode(data, target)
    assert duration_s == pytest.approx(2, abs=0.12)
    assert target.stat().st_size == round(duration_s * 32_000)
    assert loudest_hertz(target) == pytest.approx(440, abs=2)


async def test_a_file_on_disk_is_read_and_stays(decoder: Decoder, target: Path, tmp_path: Path) -> None:
    source = tmp_path / "upload"
    source.write_bytes(encoded("ogg", "libopus"))
    assert await decoder.decode(source, target) == pytest.approx(2, abs=0.1)
    assert sorted(tmp_path.iterdir()) == [target, source]


async def test_a_rate_that_changes_on_the_way_keeps_length_and_pitch(decoder: Decoder, target: Path) -> None:
    chained = encoded("adts", "aac", rate_hz=44_100) + encoded("adts", "aac", rate_hz=22_050, layout="stereo")
    assert await decoder.decode(chained, target) == pytest.approx(4, abs=0.3)
    assert loudest_hertz(target) == pytest.approx(440, abs=2)


async def test_a_cut_off_ogg_is_decoded_as_far_as_it_goes(decoder: Decoder, target: Path) -> None:
    data = encoded("ogg", "libopus", seconds=6)
    assert 1 < await decoder.decode(data[: len(data) // 2], target) < 5


async def test_a_damaged_stretch_is_left_out(decoder: Decoder, target: Path) -> None:
    data = bytearray(encoded("mp3", "libmp3lame", seconds=6, rate_hz=44_100))
    data[20_000:22_000] = random_bytes(2_000, seed=1)
    assert await decoder.decode(bytes(data), target) == pytest.approx(6, abs=0.5)


WAV = encoded("wav", "pcm_s16le", seconds=1)
EMPTY_WAV = b"RIFF$\0\0\0WAVEfmt \x10\0\0\0" + struct.pack("<HHIIHH", 1, 1, 16_000, 32_000, 2, 16) + b"data\0\0\0\0"


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "The file is empty."),
        (b"these are the minutes of the meeting\n", "The file is text."),
        ("Привет, мир! ".encode() * 500, "The file is text."),
        (b"%PDF-1.7\n\x80\x81", "a PDF document"),
        (b"PK\x03\x04" + bytes(50), "a ZIP archive"),
        (picture(), "a PNG image"),
        (WAV[:20], "begins like a WAV"),
        (WAV[:44], "begins like a WAV"),
        (encoded("mp4", "aac")[:-400], "begins like an MP4"),
        (encoded("ogg", "libopus")[:60], "begins like an OGG"),
        (EMPTY_WAV, "begins like a WAV"),
        (random_bytes(100_000, seed=5), "no audio or video format"),
        (bytes(100_000), "no audio or video format"),
    ],
    ids=[
        *("empty", "text", "cyrillic", "pdf", "zip", "png", "wav of 20 bytes", "wav header", "mp4 without index"),
        *("ogg header", "wav of 0 s", "random", "zeros"),
    ],
)
async def test_what_is_no_audio_is_named(decoder: Decoder, target: Path, data: bytes, found: str) -> None:
    failure = await failure_of(decoder, data, target)
    assert failure.reason is FailureReason.BAD_AUDIO
    assert found in failure.message


async def test_random_bytes_are_never_audio(decoder: Decoder, target: Path) -> None:
    for seed in range(20):
        assert (await failure_of(decoder, random_bytes(50_000, seed), target)).reason == "bad_audio"


async def test_a_video_without_sound_says_so(decoder: Decoder, target: Path) -> None:
    assert (await failure_of(decoder, silent_video(), target)).reason is FailureReason.NO_AUDIO_STREAM


def wav_of(channels: int) -> bytes:
    data, rate_hz = bytes(2 * channels * 1600), 16_000
    shape = struct.pack("<HHIIHH", 1, channels, rate_hz, rate_hz * 2 * channels, 2 * channels, 16)
    return b"RIFF$\0\0\0WAVEfmt \x10\0\0\0" + shape + b"data" + struct.pack("<I", len(data)) + data


@pytest.mark.parametrize("channels", [9, 32])
async def test_channels_that_cannot_be_mixed_are_named(decoder: Decoder, target: Path, channels: int) -> None:
    failure = await failure_of(decoder, wav_of(channels), target)
    assert failure.reason is FailureReason.BAD_AUDIO
    assert f"({channels} channels at 16000 Hz)" in failure.message
    assert await decoder.decode(wav_of(8), target) == pytest.approx(0.1)


@pytest.mark.parametrize("playlist", ["hls", "concat", "sdp", "dash"])
async def test_a_playlist_opens_nothing(decoder: Decoder, target: Path, tmp_path: Path, playlist: str) -> None:
    """Each of them names a recording that exists and is readable."""
    secret = tmp_path / "secret.wav"
    secret.write_bytes(WAV)
    text = {
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{secret}\n#EXT-X-ENDLIST\n",
        "concat": f"ffconcat version 1.0\nfile {secret}\n",
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\n",
        "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"></MPD>',
    }[playlist]
    assert (await failure_of(decoder, text.encode(), target)).reason is FailureReason.BAD_AUDIO


async def test_exactly_the_allowed_length_is_accepted_and_a_sample_more_is_not(target: Path) -> None:
    decoder = Decoder(max_duration_s=1)
    try:
        assert await decoder.decode(encoded("wav", "pcm_s16le", seconds=1, rate_hz=16_000), target) == 1
        longer = encoded("wav", "pcm_s16le", seconds=1 + 1 / 16_000, rate_hz=16_000)
        assert (await failure_of(decoder, longer, target)).reason is FailureReason.TOO_LONG
    finally:
        await decoder.close()


async def test_a_small_file_of_many_minutes_ends_as_too_long(decoder: Decoder, target: Path) -> None:
    bomb = encoded("flac", "flac", seconds=1200, rate_hz=8_000, hertz=0)
    assert len(bomb) < 300_000
    assert (await failure_of(decoder, bomb, target)).reason is FailureReason.TOO_LONG


def compressed_index(claimed_bytes: int) -> bytes:
    """An MP4 whose index claims to unpack to claimed_bytes."""

    def atom(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body) + 8) + name + body

    packed = atom(b"dcom", b"zlib") + atom(b"cmvd", struct.pack(">I", claimed_bytes) + bytes(64))
    return atom(b"ftyp", b"qt  " + bytes(4) + b"qt  ") + atom(b"moov", atom(b"cmov", packed))


async def test_an_index_that_claims_gigabytes_ends_as_bad_audio(decoder: Decoder, target: Path) -> None:
    failure = await failure_of(decoder, compressed_index(0x7F000000), target)
    assert failure.reason is FailureReason.BAD_AUDIO


async def test_a_decoder_that_outlives_its_time_is_bad_audio(
    decoder: Decoder, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode, "WALL_PER_CPU", 0)
    failure = await failure_of(decoder, encoded("ogg", "libopus"), target)
    assert failure.reason is FailureReason.BAD_AUDIO
    assert "memory and time" in failure.message
