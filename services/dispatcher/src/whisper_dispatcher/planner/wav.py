"""The one format that needs no decoder: WAV that already holds 16-bit mono PCM at 16 kHz."""

from __future__ import annotations

import struct

from whisper_contracts.pcm import SAMPLE_RATE_HZ

PCM = 1
EXTENSIBLE = 0xFFFE
PCM_SUBFORMAT = bytes.fromhex("0100000000001000800000aa00389b71")


def plain_wav(data: bytes) -> memoryview | None:
    """The s16le samples inside, without a copy; None if anything but a decoder should look at the file.

    A stream's writer cannot know the data size in advance: whatever it wrote there, the data ends with the file.
    """
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return None
    position, matches = 12, False
    while position + 8 <= len(data):
        name, size_bytes = struct.unpack_from("<4sI", data, position)
        body = position + 8
        if name == b"data":
            # memoryview cuts a size beyond the end; half a sample at the end of a cut-off stream is dropped.
            samples = memoryview(data)[body : body + size_bytes]
            samples = samples[: len(samples) // 2 * 2]
            return samples if matches and samples else None
        if name == b"fmt ":
            matches = _is_mono_16k_s16(data[body : body + size_bytes])
        position = body + size_bytes + size_bytes % 2
    return None


def _is_mono_16k_s16(fmt: bytes) -> bool:
    if len(fmt) < 16:
        return False
    tag, channels, rate_hz, _, _, bits = struct.unpack_from("<HHIIHH", fmt)
    if (channels, rate_hz, bits) != (1, SAMPLE_RATE_HZ, 16):
        return False
    if tag == EXTENSIBLE and len(fmt) >= 40:
        valid_bits = int.from_bytes(fmt[18:20], "little")
        return valid_bits in (0, 16) and fmt[24:40] == PCM_SUBFORMAT
    return bool(tag == PCM)
