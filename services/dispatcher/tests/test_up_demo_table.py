from __future__ import annotations

import io
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from whisper_dispatcher.local.demo import Outcome, Sample, load_samples, outcome_table, read_answer, shortened


def shown(outcomes: list[Outcome], width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(outcome_table(outcomes, console.width))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 120])
def test_a_row_is_one_line_that_fits_the_terminal(width: int) -> None:
    long = Outcome(Sample(Path("voice-note.ogg"), 211.6), "word " * 200, 112.345)
    lines = shown([long], width)
    assert len(lines) == 5
    assert all(len(line) <= width for line in lines)
    assert "voice-note.ogg" in lines[3]
    assert "3:32" in lines[3]
    assert "…" in lines[3]
    assert "112.34 s" in lines[3]


def test_a_short_text_is_shown_whole() -> None:
    assert shortened("hello world", 11) == "hello world"
    assert shortened("hello world", 10) == "hello wor…"


def test_an_answer_without_a_text_is_a_failure() -> None:
    assert read_answer(httpx.Response(200, json={"transcription": " hello "})) == ("hello", "")
    assert read_answer(httpx.Response(200, json={"transcription": ""})) == ("", "The transcription is empty.")
    text, problem = read_answer(httpx.Response(429, text="full"))
    assert text == ""
    assert problem == "The gateway answered 429: full"


def test_the_samples_are_of_every_kind_that_the_demo_promises() -> None:
    samples = load_samples()
    assert [sample.path.suffix for sample in samples] == [".ogg", ".mp3", ".wav", ".mp3"]
    assert max(sample.duration_s for sample in samples) > 120
