"""The multipart body of POST /inference: which fields whisper-server gets, and audio as the WAV it wants."""

from __future__ import annotations

import secrets
import struct
from dataclasses import dataclass

from whisper_contracts.pcm import BYTES_PER_SECOND, SAMPLE_RATE_HZ

MAX_PROMPT_TOKENS = 224
"""Half of Whisper's text context: more than that whisper.cpp cuts off."""


@dataclass(frozen=True, slots=True)
class InferenceOptions:
    language: str | None = None
    """ISO-639-1; None = what the server was started with."""
    translate: bool = False
    prompt: str = ""
    temperature: float = 0.0
    words: bool = False


def form_fields(options: InferenceOptions, default_language: str) -> dict[str, str]:
    """Everything is sent always: older servers let one request's settings leak into the next."""
    return {
        "response_format": "verbose_json",
        # Costs one more encoder pass, and fails with 500 when there is nothing to hear.
        "no_language_probabilities": "true",
        # Without it lines are cut every 60 characters, in the middle of words.
        "max_len": "100000",
        "token_timestamps": _flag(options.words),
        "temperature": f"{options.temperature:g}",
        "temperature_inc": "0.2",
        "suppress_nst": "true",
        "language": options.language or default_language,
        "translate": _flag(options.translate),
        "prompt": options.prompt,
        # 0 keeps a window from looping on its own text, but it silences the prompt too.
        "max_context": str(MAX_PROMPT_TOKENS if options.prompt else 0),
        "vad": "false",
    }


def wav(pcm: bytes) -> bytes:
    """pcm: s16le, mono, 16 kHz."""
    riff = struct.pack("<4sI4s", b"RIFF", 36 + len(pcm), b"WAVE")
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, SAMPLE_RATE_HZ, BYTES_PER_SECOND, 2, 16)
    return b"".join([riff, fmt, struct.pack("<4sI", b"data", len(pcm)), pcm])


def multipart(fields: dict[str, str], file: bytes) -> tuple[bytes, str]:
    """The body and its content type."""
    # Random, so that no prompt can contain it.
    boundary = secrets.token_hex(16)
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    parts.append(
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="window.wav"\r\n'
        "Content-Type: audio/wav\r\n\r\n"
    )
    body = b"".join(["".join(parts).encode(), file, f"\r\n--{boundary}--\r\n".encode()])
    return body, f"multipart/form-data; boundary={boundary}"


def _flag(value: bool) -> str:
    return "true" if value else "false"
