"""What is sent: made anew at each run, so that the repository carries no large files."""

from __future__ import annotations

import io
import wave

import av
import numpy as np
import numpy.typing as npt

from whisper_contracts.pcm import SAMPLE_RATE_HZ
from whisper_dispatcher.worker.inference_form import wav
from whisper_models.bundled import sample_path

Samples = npt.NDArray[np.int16]

NOTE_S = 3
PAUSE_S = 0.5
SPOKEN_S = 2.0
OPUS_RATE_HZ = 48_000
OPUS_BITS_PER_SECOND = 32_000


def speech(duration_s: float) -> Samples:
    """The bundled recording, again and again."""
    with wave.open(str(sample_path("hello.wav")), "rb") as file:
        spoken = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    return np.resize(spoken, int(duration_s * SAMPLE_RATE_HZ))


def note_wav(number: int = 0) -> bytes:
    """3 s of 16 kHz mono PCM: whisper-server reads it as it is. number: equal recordings may become one job."""
    samples = speech(NOTE_S).copy()
    samples[-1] = number
    return wav(samples.tobytes())


def note_opus() -> bytes:
    """3 s as a messenger's voice note: Opus in Ogg, 48 kHz mono."""
    samples = np.repeat(speech(NOTE_S), OPUS_RATE_HZ // SAMPLE_RATE_HZ)
    file = io.BytesIO()
    with av.open(file, "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=OPUS_RATE_HZ, layout="mono")
        stream.bit_rate = OPUS_BITS_PER_SECOND
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = OPUS_RATE_HZ
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def long_wav(duration_s: float) -> bytes:
    """Speech with a pause every few seconds, so that windows are cut as in a real recording."""
    sentence = np.concatenate([speech(SPOKEN_S), np.zeros(int(PAUSE_S * SAMPLE_RATE_HZ), np.int16)])
    return wav(np.resize(sentence, int(duration_s * SAMPLE_RATE_HZ)).tobytes())
