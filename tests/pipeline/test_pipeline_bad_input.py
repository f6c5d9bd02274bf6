"""What is wrong with an upload comes back as a status, a code and a sentence, through every process on its way."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from audio_harness import as_wav, encoded, pause, tone
from up_harness import Up, started_with_stub

from whisper_models.bundled import sample_path

MAX_UPLOAD_BYTES = 2_000_000
MAX_AUDIO_S = 600


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    folder = tmp_path_factory.mktemp("up")
    limits = {"MAX_UPLOAD_BYTES": str(MAX_UPLOAD_BYTES), "MAX_AUDIO_S": str(MAX_AUDIO_S)}
    settings = {f"WHISPERFLEET_{name}": value for name, value in limits.items()}
    with started_with_stub(folder, STUB_DELAY_MS="0", **settings) as running:
        yield running


@pytest.fixture
def http(up: Up) -> Iterator[httpx.Client]:
    with up.client() as client:
        yield client


def refused(answer: httpx.Response, status: int, code: str) -> str:
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code), answer.text
    assert answer.headers["x-should-retry"] == "false"
    message: str = error["message"]
    assert message.endswith(".")
    return message


def send(http: httpx.Client, audio: bytes, name: str = "recording.ogg", **form: str) -> httpx.Response:
    return http.post("/transcribe", files={"file": (name, audio)}, data=form)


def cut_ogg() -> bytes:
    return sample_path("voice-note.ogg").read_bytes()[:60]


def silent_video() -> bytes:
    return sample_path("silent-video.mp4").read_bytes()


def bomb() -> bytes:
    """A few kilobytes that unpack to 20 minutes."""
    return encoded("flac", "flac", seconds=2 * MAX_AUDIO_S, rate_hz=8_000, hertz=0)


@pytest.mark.parametrize(
    ("audio", "name", "status", "code", "sentence"),
    [
        (lambda: b"", "recording.ogg", 400, "empty_file", "The file is empty."),
        (lambda: b"These are the minutes.\n" * 50, "minutes.wav", 400, "bad_audio", "The file is text."),
        (cut_ogg, "note.ogg", 400, "bad_audio", "begins like an OGG file"),
        (silent_video, "video.mp4", 400, "no_audio_stream", "no sound track"),
        (lambda: as_wav(tone(0.0)), "recording.wav", 400, "bad_audio", "begins like a WAV or AVI file, but no sound"),
        (bomb, "bomb.flac", 422, "too_long", f"longer than the {MAX_AUDIO_S} s"),
        (lambda: as_wav(tone(70.0)), "recording.wav", 413, "too_large", "larger than the 2 MB"),
        (lambda: as_wav(tone(140.0)), "recording.wav", 413, "too_large", "larger than the 2 MB"),
    ],
    ids=["empty", "text", "cut ogg", "video", "0 seconds", "bomb", "oversized", "oversized by its length"],
)
def test_a_bad_file_is_refused_with_a_sentence(
    http: httpx.Client, audio: Callable[[], bytes], name: str, status: int, code: str, sentence: str
) -> None:
    assert sentence in refused(send(http, audio(), name), status, code)


def test_an_ogg_that_breaks_off_is_heard_as_far_as_it_goes(http: httpx.Client) -> None:
    whole = sample_path("voice-note.ogg").read_bytes()
    answer = http.post(
        "/v1/audio/transcriptions",
        files={"file": ("note.ogg", whole[: len(whole) // 2])},
        data={"response_format": "verbose_json"},
    )
    assert answer.status_code == 200, answer.text
    assert 0.5 < answer.json()["duration"] < 3.0


def test_a_form_without_a_file(http: httpx.Client) -> None:
    answer = http.post("/transcribe", files={"model": (None, "whisper-1")})
    assert "no part named 'file'" in refused(answer, 400, "no_file")


@pytest.mark.parametrize(
    ("field", "value", "status", "code", "sentence"),
    [
        ("language", "klingon", 400, "invalid_language", "no language Whisper knows"),
        ("language", "de", 400, "unsupported_language", "does not speak 'de'"),
        ("model", "large-v9", 404, "model_not_found", "The models are: demo.en."),
    ],
)
def test_a_wrong_option_is_refused_with_what_there_is(
    http: httpx.Client, field: str, value: str, status: int, code: str, sentence: str
) -> None:
    assert sentence in refused(send(http, as_wav(tone(1.0)), **{field: value}), status, code)


def test_ten_thousand_tiny_parts(http: httpx.Client) -> None:
    parts = [(f"field{number}", (None, b"x")) for number in range(10_000)]
    assert "more than" in refused(http.post("/transcribe", files=parts), 400, "too_many_parts")


def test_a_playlist_opens_no_file_and_no_address(http: httpx.Client, tmp_path: Path) -> None:
    """Both that it names are there and would be audio."""
    recording = tmp_path / "secret.wav"
    recording.write_bytes(as_wav(tone(2.0)))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        port = listener.getsockname()[1]
        for target in (f"file://{recording}", str(recording), f"http://127.0.0.1:{port}/secret.wav"):
            playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{target}\n#EXT-X-ENDLIST\n".encode()
            assert "The file is text." in refused(send(http, playlist, "list.m3u8"), 400, "bad_audio")
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_silence_is_an_empty_text(http: httpx.Client) -> None:
    answer = send(http, as_wav(pause(3.0)))
    assert (answer.status_code, answer.json()["transcription"]) == (200, "")
