"""The golden clip: a recording whose text is known. A server pulls nothing before it has transcribed it right."""

from __future__ import annotations

import wave
from dataclasses import dataclass
from pathlib import Path

from whisper_contracts.failures import JobFailed
from whisper_contracts.pcm import BYTES_PER_SECOND, SAMPLE_RATE_HZ
from whisper_dispatcher.transcript.server_response import parse_verbose_json
from whisper_dispatcher.transcript.word_error import word_error_rate
from whisper_dispatcher.worker.inference_form import InferenceOptions
from whisper_dispatcher.worker.whisper_server import GoldenClipFailed, WhisperServer
from whisper_models.bundled import NotBundled, sample_path

BUNDLED_CLIP = "hello.wav"
BUNDLED_TEXT = "hello world one two three"
DEFAULT_MAX_WORD_ERROR_RATE = 0.34
"""One word of three may be wrong: the clip finds broken servers, it does not grade models."""


@dataclass(frozen=True, slots=True)
class GoldenClip:
    pcm: bytes
    text: str | None
    """None: any answer will do, as for a language that no clip is known for."""
    max_word_error_rate: float = DEFAULT_MAX_WORD_ERROR_RATE
    language: str | None = None

    @classmethod
    def load(
        cls,
        path: Path,
        text: str | None,
        max_word_error_rate: float = DEFAULT_MAX_WORD_ERROR_RATE,
        language: str | None = None,
    ) -> GoldenClip:
        """Raises ValueError with a sentence for people."""
        try:
            with wave.open(str(path), "rb") as file:
                form = (file.getnchannels(), file.getsampwidth(), file.getframerate())
                pcm = file.readframes(file.getnframes())
        except (OSError, EOFError, wave.Error) as error:
            raise ValueError(f"The golden clip {path} cannot be read: {error}. Name a readable WAV file.") from error
        if form != (1, 2, SAMPLE_RATE_HZ):
            raise ValueError(
                f"The golden clip {path} is not 16-bit mono PCM at 16 kHz. Convert it, or name another file."
            )
        return cls(pcm, text, max_word_error_rate, language)


def default_clip(language: str) -> GoldenClip:
    """The bundled clip. A server for another language than English must only answer it, since we know no text.

    Raises ValueError with a sentence for people.
    """
    try:
        path = sample_path(BUNDLED_CLIP)
    except NotBundled as error:
        raise ValueError(f"{error} Or name another golden clip in the settings.") from error
    if language in ("en", "auto"):
        return GoldenClip.load(path, BUNDLED_TEXT, language="en")
    return GoldenClip.load(path, None)


async def check_golden_clip(server: WhisperServer, clip: GoldenClip, timeout_s: float) -> None:
    """Raises GoldenClipFailed when the server cannot be trusted with work."""
    try:
        body = await server.inference(clip.pcm, InferenceOptions(language=clip.language), timeout_s)
        response = parse_verbose_json(body, offset_s=0.0, window_s=len(clip.pcm) / BYTES_PER_SECOND)
    except JobFailed as failure:
        cause = failure.__cause__ or failure
        detail = str(cause) or type(cause).__name__
        raise GoldenClipFailed(
            f"whisper-server did not transcribe its golden clip ({failure.reason}): {detail}"
        ) from failure
    if clip.text is None:
        return
    heard = "".join(segment.text for segment in response.segments).strip()
    error_rate = word_error_rate(clip.text, heard)
    if error_rate > clip.max_word_error_rate:
        raise GoldenClipFailed(
            f"whisper-server heard {heard!r} in its golden clip instead of {clip.text!r}: word error rate "
            f"{error_rate:.2f}, allowed {clip.max_word_error_rate:.2f}. Check the model, or name a clip that fits it."
        )
