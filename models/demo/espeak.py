"""Speech with the time of each word, from the espeak-ng library."""

from __future__ import annotations

import ctypes
import ctypes.util
from dataclasses import dataclass
from functools import cache

import numpy as np

from models.demo.mel import Floats

# From espeak-ng's speak_lib.h.
_SYNCHRONOUS = 2
_CHARACTER_POSITIONS = 1
_UTF8 = 1
_WORD = 1
_RATE, _VOLUME, _PITCH, _PITCH_RANGE, _WORD_GAP = 1, 2, 3, 4, 7


class EspeakMissing(Exception):
    """The library is not installed, or lacks a voice."""


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True)
class Manner:
    """How something is said."""

    voice: str
    """Such as en-us+f2: an accent and, after the plus, a speaker."""
    words_per_minute: int = 160
    pitch: int = 50
    pitch_range: int = 50
    gap: int = 0
    """Between words, in 10 ms at the default speed."""


@dataclass(frozen=True)
class Spoken:
    sound: Floats
    word_starts_s: dict[int, float]
    """By the place of the word's first character in the text; espeak-ng joins some words and leaves out the second."""


class Espeak:
    """One per process: the library keeps its state globally."""

    def __init__(self) -> None:
        name = ctypes.util.find_library("espeak-ng") or "libespeak-ng.so.1"
        try:
            self._library = ctypes.CDLL(name)
        except OSError as error:
            raise EspeakMissing("espeak-ng is not installed. Install its package, espeak-ng in Debian.") from error
        self.rate_hz: int = self._library.espeak_Initialize(_SYNCHRONOUS, 0, None, 0)
        if self.rate_hz <= 0:
            raise EspeakMissing("espeak-ng does not find its data. Install the package espeak-ng-data.")
        self._parts: list[Floats] = []
        self._starts_s: dict[int, float] = {}
        # The library keeps only a pointer: Python must keep the object.
        self._callback = _Callback(self._take)
        self._library.espeak_SetSynthCallback(self._callback)

    def say(self, text: str, manner: Manner) -> Spoken:
        self._parts, self._starts_s = [], {}
        if self._library.espeak_SetVoiceByName(manner.voice.encode()) != 0:
            raise EspeakMissing(f"espeak-ng has no voice {manner.voice}. Install its whole package, version 1.51.")
        settings = {
            _RATE: manner.words_per_minute,
            _VOLUME: 100,
            _PITCH: manner.pitch,
            _PITCH_RANGE: manner.pitch_range,
            _WORD_GAP: manner.gap,
        }
        for parameter, value in settings.items():
            self._library.espeak_SetParameter(parameter, value, 0)
        data = text.encode() + b"\0"
        self._library.espeak_Synth(data, len(data), 0, _CHARACTER_POSITIONS, 0, _UTF8, None, None)
        return Spoken(np.concatenate([np.zeros(0, np.float32), *self._parts]), self._starts_s)

    def _take(self, samples: ctypes._Pointer[ctypes.c_short], count: int, events: ctypes._Pointer[_Event]) -> int:
        if count > 0 and samples:
            heard = np.ctypeslib.as_array(samples, (count,))
            self._parts.append(np.asarray(heard / 32_768, np.float32))
        place = 0
        while (event := events[place]).type:
            if event.type == _WORD:
                self._starts_s.setdefault(event.text_position - 1, event.audio_position_ms / 1000)
            place += 1
        return 0


@cache
def espeak() -> Espeak:
    return Espeak()
