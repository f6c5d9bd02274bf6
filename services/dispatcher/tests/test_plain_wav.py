from __future__ import annotations

import io
import struct
import wave

import pytest

from whisper_dispatcher.planner.wav import plain_wav

SAMPLES = b"\x01\x00\x02\x00\x03\x00"
PCM_GUID = bytes.fromhex("0100000000001000800000aa00389b71")
FLOAT_GUID = bytes.fromhex("0300000000001000800000aa00389b71")


def fmt(*, tag: int = 1, channels: int = 1, rate_hz: int = 16_000, bits: int = 16, tail: bytes = b"") -> bytes:
    return struct.pack("<HHIIHH", tag, channels, rate_hz, rate_hz * 2, 2, bits) + tail


def chunk(name: bytes, body: bytes, size_bytes: int | None = None) -> bytes:
    size = len(body) if size_bytes is None else size_bytes
    return name + struct.pack("<I", size) + body + b"\x00" * (len(body) % 2)


def riff(*chunks: bytes) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def extensible(guid: bytes, valid_bits: int = 16) -> bytes:
    return fmt(tag=0xFFFE, tail=struct.pack("<HHI", 22, valid_bits, 4) + guid)


def test_a_file_of_the_standard_library_is_read() -> None:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(16_000)
        writer.writeframes(SAMPLES)
    assert plain_wav(file.getvalue()) == SAMPLES


@pytest.mark.parametrize(
    "data",
    [
        riff(chunk(b"LIST", b"odd"), chunk(b"fmt ", fmt()), chunk(b"fact", b"\0" * 4), chunk(b"data", SAMPLES)),
        riff(chunk(b"fmt ", fmt()), chunk(b"data", SAMPLES), chunk(b"LIST", b"after")),
        riff(chunk(b"fmt ", fmt(tail=b"\0\0")), chunk(b"data", SAMPLES)),
        riff(chunk(b"fmt ", extensible(PCM_GUID)), chunk(b"data", SAMPLES)),
        riff(chunk(b"fmt ", fmt()), chunk(b"data", SAMPLES, 0xFFFFFFFF)),
        riff(chunk(b"fmt ", fmt()), chunk(b"data", SAMPLES, 100_000)),
        riff(chunk(b"fmt ", fmt()), b"data" + struct.pack("<I", 100) + SAMPLES + b"\x09"),
    ],
    ids=["chunks before", "chunk after", "18-byte fmt", "extensible", "unknown size", "cut off", "half a sample"],
)
def test_samples_are_found(data: bytes) -> None:
    assert plain_wav(data) == SAMPLES


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RIFF",
        b"no riff at all, but long enough to look at",
        riff(),
        riff(chunk(b"fmt ", fmt())),
        riff(chunk(b"data", SAMPLES)),
        riff(chunk(b"fmt ", fmt()), chunk(b"data", b"")),
        riff(chunk(b"fmt ", fmt()[:12]), chunk(b"data", SAMPLES)),
        riff(chunk(b"fmt ", fmt(channels=2)), chunk(b"data", SAMPLES)),
        riff(chunk(b"fmt ", fmt(rate_hz=44_100)), chunk(b"data", SAMPLES)),
        riff(chunk(b"fmt ", fmt(bits=8)), chunk(b"data", SAMPLES)),
        riff(chunk(b"fmt ", fmt(tag=3)), chunk(b"data", SAMPLES)),
        riff(chunk(b"fmt ", extensible(FLOAT_GUID)), chunk(b"data", SAMPLES)),
        riff(chunk(b"fmt ", extensible(PCM_GUID, valid_bits=12)), chunk(b"data", SAMPLES)),
        riff(chunk(b"fmt ", fmt(tag=0xFFFE)), chunk(b"data", SAMPLES)),
        b"RF64" + riff(chunk(b"fmt ", fmt()), chunk(b"data", SAMPLES))[4:],
    ],
)
def test_everything_else_is_left_to_the_decoder(data: bytes) -> None:
    assert plain_wav(data) is None
