"""Decoded audio, everywhere: s16le, mono, 16 kHz. Apart from the messages, so that decoders need not load pydantic."""

SAMPLE_RATE_HZ = 16_000
BYTES_PER_SECOND = 2 * SAMPLE_RATE_HZ
