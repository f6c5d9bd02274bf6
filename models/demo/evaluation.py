"""The table of the model card: error rates through the unmodified whisper-server and through the whole pipeline."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from rich.console import Console
from rich.table import Table

from models.demo.recordings import Recording, as_wav, long_file, sentences, wordless
from models.demo.words import ENGLISH, RUSSIAN, Language
from whisper_dispatcher.local.errors import ToolMissing
from whisper_dispatcher.local.tools import ensure_whisper_server
from whisper_dispatcher.local.trial import serving
from whisper_dispatcher.transcript.word_error import word_error_rate

SENTENCES = 200
_ANSWER_TIMEOUT_S = 600.0
_START_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Row:
    what: str
    goal: str
    measured: str
    is_met: bool


@dataclass(frozen=True)
class Heard:
    text: str
    segments_s: tuple[tuple[float, float], ...]


def evaluate(english: Path, multilingual: Path, count: int, minutes: Iterable[float], console: Console) -> list[Row]:
    """Raises ToolMissing."""
    binary = ensure_whisper_server(console)
    rows: list[Row] = []
    with serving(binary, english) as url:
        rows += _sentence_rows(url, ENGLISH, count, {}, "English-only file")
        rows += [_noise_row(url, name, recording) for name, recording in wordless().items()]
    with serving(binary, multilingual) as url:
        for language in (ENGLISH, RUSSIAN):
            pinned = {"language": language.code}
            rows += _sentence_rows(url, language, count // 2, pinned, f"multilingual file, {language.code} pinned")
            rows.append(_detection_row(url, language, count // 2))
    rows += _pipeline_rows(english, minutes)
    return rows


def table(rows: list[Row]) -> Table:
    shown = Table("what", "goal", "measured", "")
    for row in rows:
        shown.add_row(row.what, row.goal, row.measured, "met" if row.is_met else "[red]missed[/red]")
    return shown


def _sentence_rows(url: str, language: Language, count: int, form: dict[str, str], label: str) -> list[Row]:
    rows = []
    for noisy in (False, True):
        recordings = sentences(language, count // 2, noisy=noisy)
        heard = [infer(url, recording, form) for recording in recordings]
        kind = "sentences with noise and silence around" if noisy else "clean sentences"
        rows.append(error_row(f"{label}: {kind}", 0.03, recordings, heard))
    return rows


def error_row(what: str, goal: float, recordings: list[Recording], heard: list[Heard]) -> Row:
    words = sum(len(recording.text.split()) for recording in recordings)
    errors = sum(
        round(word_error_rate(recording.text, one.text) * len(recording.text.split()))
        for recording, one in zip(recordings, heard, strict=True)
    )
    rate = errors / words
    return Row(what, f"≤ {goal:.0%}", f"{rate:.2%} of {words:,} words", rate <= goal)


def _noise_row(url: str, name: str, recording: Recording) -> Row:
    text = infer(url, recording, {}).text
    return Row(name, "nothing", repr(text[:40]) if text else "nothing", not text)


def _detection_row(url: str, language: Language, count: int) -> Row:
    recordings = sentences(language, count, noisy=True)
    found = [_answer(url, recording, {"language": "auto"})["detected_language"] for recording in recordings]
    right = sum(one == {"en": "english", "ru": "russian"}[language.code] for one in found)
    return Row(f"language detected: {language.code}", "≥ 97%", f"{right / count:.1%} of {count}", right >= 0.97 * count)


def _pipeline_rows(model: Path, minutes: Iterable[float]) -> list[Row]:
    rows: list[Row] = []
    with _pipeline(model) as (url, key):
        for number, length_min in enumerate(minutes):
            recording = long_file(ENGLISH, length_min, number)
            heard = _transcribed(url, key, recording)
            what = f"a file of {length_min:g} min through the pipeline"
            rows.append(error_row(what, 0.02, [recording], [heard]))
            rows.append(time_row(f"{what}: segment times, worst of 95%", recording, heard))
    return rows


def time_row(what: str, recording: Recording, heard: Heard) -> Row:
    """Of each sentence's start and end to the nearest start and end of a segment."""
    if not heard.segments_s:
        return Row(what, "≤ 0.3 s", "no segments", False)
    starts_s, ends_s = (np.array(side) for side in zip(*heard.segments_s, strict=True))
    off_s = [np.abs(starts_s - start_s).min() for start_s, _ in recording.spans_s]
    off_s += [np.abs(ends_s - end_s).min() for _, end_s in recording.spans_s]
    worst_s = float(np.percentile(off_s, 95))
    return Row(what, "≤ 0.3 s", f"{worst_s:.2f} s", worst_s <= 0.3)


def infer(url: str, recording: Recording, form: dict[str, str]) -> Heard:
    return _heard(_answer(url, recording, {"no_language_probabilities": "true", **form}))


def _answer(url: str, recording: Recording, form: dict[str, str]) -> dict[str, Any]:
    response = httpx.post(
        f"{url}/inference",
        files={"file": ("recording.wav", as_wav(recording.sound), "audio/wav")},
        data={"response_format": "verbose_json", **form},
        timeout=_ANSWER_TIMEOUT_S,
        trust_env=False,
    )
    response.raise_for_status()
    answer: dict[str, Any] = response.json()
    return answer


def _heard(answer: dict[str, Any]) -> Heard:
    segments = answer["segments"]
    return Heard(answer["text"].strip(), tuple((segment["start"], segment["end"]) for segment in segments))


@contextmanager
def _pipeline(model: Path) -> Iterator[tuple[str, str]]:
    """The URL and API key of the whole pipeline on this machine."""
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder) / "ready.json"
        # Under the bundled model's name a file must also have its checksum, which new weights have not.
        measured = shutil.copyfile(model, Path(folder) / "measured.bin")
        arguments = ["up", "--model", str(measured), "--port", "0", "--ready-file", str(ready)]
        program = str(Path(sys.executable).with_name("whisperfleet"))
        process = subprocess.Popen(
            [program, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            deadline = time.monotonic() + _START_TIMEOUT_S
            while not ready.is_file() and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.1)
            if not ready.is_file():
                raise ToolMissing("The pipeline did not start. Run `whisperfleet up --model` with the file to see why.")
            found = json.loads(ready.read_text())
            yield found["url"], found["key"]
        finally:
            process.terminate()
            process.wait()


def _transcribed(url: str, key: str, recording: Recording) -> Heard:
    response = httpx.post(
        f"{url}/v1/audio/transcriptions",
        headers={"Authorization": f"Bearer {key}"},
        files={"file": ("long.wav", as_wav(recording.sound), "audio/wav")},
        data={"response_format": "verbose_json", "model": "whisper-1"},
        timeout=_ANSWER_TIMEOUT_S,
        trust_env=False,
    )
    response.raise_for_status()
    return _heard(response.json())
