"""Makes the recordings of this folder and samples.tsv, from text that is fixed here.

    apt-get install espeak-ng
    python models/samples/make_samples.py [FILE…]

The results are kept in the repository; run it only to change them, and name the files that are to change: encoders of
another version write other bytes. models/demo/words.py has the words that the demo model knows.
"""

from __future__ import annotations

import csv
import io
import random
import shutil
import subprocess
import sys
import wave
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream

FOLDER = Path(__file__).parent
VOICES = {"en": "en-us", "ru": "ru"}
MADE_BY = "python models/samples/make_samples.py"
FRAMES_PER_SECOND = 5
WORDS_PER_MINUTE = 150
AUDIBLE = 100
"""Of 32,768; quieter samples at the ends of a sentence are cut off, so that pauses are as long as written."""

Sound = npt.NDArray[np.int16]

SENTENCES = (
    "good morning world",
    "this is a test",
    "the quick brown fox jumps over the lazy dog",
    "turn on the {colour} light please",
    "turn off the {colour} light",
    "open the {colour} door",
    "close the window please",
    "play the music",
    "pause the music please",
    "stop the computer",
    "the computer is ready",
    "the time is {digit} {digit}",
    "error {digit} {digit} {digit}",
    "test {digit} is done",
    "this is the {colour} house",
    "the name is {letter}",
    "hello this is {letter} {letter}",
    "{digit} {digit} {digit} {digit} {digit}",
    "{letter} {letter} {letter}",
    "go {direction} please",
    "turn {direction}",
    "thank you good night",
)
SLOTS = {
    "colour": "green blue yellow black white",
    "digit": "zero one two three four five six seven eight nine",
    "direction": "left right back",
    "letter": "alpha bravo charlie delta foxtrot hotel india juliet kilo lima mike november oscar papa romeo "
    "sierra tango uniform victor whiskey yankee zulu",
}


@dataclass(frozen=True)
class Sample:
    file: str
    sentences: tuple[str, ...]
    codec: str
    rate_hz: int = 16_000
    layout: str = "mono"
    bit_rate: int = 0
    """0 = as the codec likes."""
    picture: bool = False
    pauses_s: tuple[float, float] = (0.4, 0.6)
    language: str = "en"


def samples() -> Iterator[Sample]:
    # The golden clip: plain PCM as the server takes it, one breath.
    yield Sample("hello.wav", ("hello world one two three",), "pcm_s16le")
    # What a messenger sends as a voice note.
    note = ("good morning this is a test", "please open the blue door")
    yield Sample("voice-note.ogg", note, "libopus", 48_000, bit_rate=24_000)
    # An ordinary compressed file.
    message = ("hello this is juliet", "the quick brown fox jumps over the lazy dog", "thank you good night")
    yield Sample("message.mp3", message, "libmp3lame", 44_100, bit_rate=64_000)
    # Two channels at a rate that is no multiple of 16 kHz.
    stereo = ("the computer is ready", "turn on the red light please", "zero one two")
    yield Sample("stereo.wav", stereo, "pcm_s16le", 44_100, "stereo")
    # The containers of phones, browsers and archives.
    yield Sample("note.m4a", ("close the window please", "error four five six"), "aac", 44_100, bit_rate=48_000)
    yield Sample("note.webm", ("play the music", "next is alpha bravo charlie"), "libopus", 48_000, bit_rate=24_000)
    # What a telephone exchange records.
    yield Sample(
        "call.amr", ("call my brother please", "the time is two five"), "libopencore_amrnb", 8_000, bit_rate=12_200
    )
    yield Sample("note.flac", ("the time is seven nine", "good night"), "flac")
    # Another language, as a voice note and as an ordinary file.
    note = ("доброе утро", "это тест", "открой дверь пожалуйста")
    yield Sample("voice-note-ru.ogg", note, "libopus", 48_000, bit_rate=24_000, language="ru")
    message = ("привет мир", "включи свет пожалуйста", "один два три четыре пять", "спасибо")
    yield Sample("message-ru.mp3", message, "libmp3lame", 44_100, bit_rate=64_000, language="ru")
    # A film with a sound track, and one without.
    yield Sample("video.mp4", ("stop the music", "go left please"), "aac", 44_100, bit_rate=48_000, picture=True)
    yield Sample("silent-video.mp4", (), "aac", picture=True)
    # Several windows, with pauses to cut at.
    yield Sample("minutes.mp3", talk(74, seed=1), "libmp3lame", 22_050, bit_rate=40_000, pauses_s=(0.8, 1.5))
    # Many windows.
    yield Sample("ten-minutes.ogg", talk(282, seed=3), "libopus", 48_000, bit_rate=24_000, pauses_s=(0.4, 1.2))


def talk(count: int, seed: int) -> tuple[str, ...]:
    """Sentences in shuffled rounds, and no word twice in a sentence.

    The seeds are chosen so that the demo model hears every word; with four others it heard 0 to 2 % of them wrong.
    """
    chance = random.Random(seed)  # noqa: S311 - the same talk at every run is the point
    talk: list[str] = []
    while len(talk) < count:
        talk += [filled(sentence, chance) for sentence in chance.sample(SENTENCES, len(SENTENCES))]
    return tuple(talk[:count])


def filled(sentence: str, chance: random.Random) -> str:
    choices = {slot: chance.sample(words.split(), len(words.split())) for slot, words in SLOTS.items()}
    return " ".join(choices[word[1:-1]].pop() if word[0] == "{" else word for word in sentence.split())


def speak(sentence: str, language: str) -> tuple[Sound, int]:
    """The sentence without the silence around it, and its sample rate."""
    program = shutil.which("espeak-ng")
    if program is None:
        raise SystemExit("espeak-ng is not installed. Install its package and run this again.")
    command = [program, "-v", VOICES[language], "-s", str(WORDS_PER_MINUTE), "--stdout", f"{sentence}."]
    with wave.open(io.BytesIO(subprocess.run(command, check=True, capture_output=True).stdout)) as file:
        rate_hz = file.getframerate()
        sound = np.frombuffer(file.readframes(file.getnframes()), dtype=np.int16)
    loud = np.nonzero(np.abs(sound.astype(np.int32)) > AUDIBLE)[0]
    return sound[loud[0] : loud[-1] + 1], rate_hz


def spoken(sample: Sample) -> tuple[Sound, int]:
    chance = random.Random(sample.file)  # noqa: S311 - the same pauses at every run
    parts: list[Sound] = []
    for sentence in sample.sentences:
        sound, rate_hz = speak(sentence, sample.language)
        pause_s = round(chance.uniform(*sample.pauses_s), 2) if parts else 0.1
        parts += [np.zeros(int(pause_s * rate_hz), np.int16), sound]
    return np.concatenate([*parts, np.zeros(int(0.2 * rate_hz), np.int16)]), rate_hz


def write(sample: Sample) -> None:
    with av.open(str(FOLDER / sample.file), "w", options={"fflags": "+bitexact"}) as container:
        # The first packet writes the header, so every stream is there before it.
        picture = add_picture(container) if sample.picture else None
        sound = add_sound(container, sample) if sample.sentences else None
        if picture:
            encode(container, picture, squares())
        if sound:
            encode(container, sound, sound_frames(sound, *spoken(sample)))


def add_picture(container: OutputContainer) -> VideoStream:
    stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND, options={"crf": "35"})
    stream.width = stream.height = 64
    stream.pix_fmt = "yuv420p"
    return stream


def add_sound(container: OutputContainer, sample: Sample) -> AudioStream:
    stream = cast(AudioStream, container.add_stream(sample.codec, rate=sample.rate_hz, layout=sample.layout))
    stream.bit_rate = sample.bit_rate
    return stream


def squares(seconds: int = 3) -> Iterator[av.VideoFrame]:
    """A square that changes its colour."""
    for i in range(seconds * FRAMES_PER_SECOND):
        frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), (8 * i, 80, 160), np.uint8), format="rgb24")
        frame.pts, frame.time_base = i, Fraction(1, FRAMES_PER_SECOND)
        yield frame


def sound_frames(stream: AudioStream, sound: Sound, rate_hz: int) -> Iterator[av.AudioFrame]:
    frame = av.AudioFrame.from_ndarray(sound.reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate = rate_hz
    # Encoders take frames of their own size.
    resampler = av.AudioResampler(stream.format, stream.layout, stream.rate, frame_size=stream.frame_size or 4096)
    yield from resampler.resample(frame)
    yield from resampler.resample(None)


def encode(container: OutputContainer, stream: VideoStream | AudioStream, frames: Iterable[Any]) -> None:
    for frame in frames:
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def seconds(path: Path) -> float:
    with av.open(str(path)) as container:
        return round((container.duration or 0) / av.time_base, 2)


def main(wanted: list[str]) -> None:
    """Writes the recordings named, or all, and the table of all."""
    with (FOLDER / "samples.tsv").open("w", newline="") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(("file", "seconds", "text", "language", "made_by"))
        for sample in samples():
            if not wanted or sample.file in wanted:
                write(sample)
            text = " ".join(sample.sentences)
            table.writerow(
                (
                    sample.file,
                    seconds(FOLDER / sample.file),
                    text,
                    sample.language if text else "",
                    f"{MADE_BY} {sample.file}",
                )
            )


if __name__ == "__main__":
    main(sys.argv[1:])
