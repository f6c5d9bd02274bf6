"""Tries a whisper-server with a recording before it is trusted: it has no --version, and exit status 0 proves nothing."""

from __future__ import annotations

import hashlib
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx

from whisper_dispatcher.local.build_whisper import cpu_features, whisper_cache_folder
from whisper_dispatcher.local.errors import ToolMissing
from whisper_dispatcher.loopback import free_port
from whisper_models.bundled import NotBundled, demo_model_path, sample_path

SAMPLE = "hello.wav"
_SPOKEN = ("hello", "world", "one", "two", "three")
_WORDS_NEEDED = 3
_START_TIMEOUT_S = 60.0
_ANSWER_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 5.0
_POLL_S = 0.05
_TAKE_ANOTHER = "Set WHISPER_SERVER to another build (version 1.8.5 or later), or unset it to have one built."


def try_once(binary: Path) -> None:
    """Raises ToolMissing unless the server hears the words; a binary that has passed on this processor is not asked again."""
    fingerprint = _fingerprint(binary)
    marker = _marker(binary)
    if marker.is_file() and marker.read_text("utf-8") == fingerprint:
        return
    text = transcribe_sample(binary)
    if not hears_the_sample(text):
        raise ToolMissing(
            f"The whisper-server at {binary} runs but heard {text.strip()[:80]!r} in {SAMPLE}, "
            f"which says {' '.join(_SPOKEN)!r}. {_TAKE_ANOTHER}"
        )
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.write_text(fingerprint, "utf-8")


def hears_the_sample(text: str) -> bool:
    heard = re.findall(r"[a-z]+", text.lower())
    return sum(word in heard for word in _SPOKEN) >= _WORDS_NEEDED


def transcribe_sample(binary: Path) -> str:
    try:
        model, sample = demo_model_path(), sample_path(SAMPLE)
    except NotBundled as error:
        raise ToolMissing(f"The whisper-server at {binary} could not be tried: {error}") from error
    with serving(binary, model) as url:
        try:
            response = httpx.post(
                f"{url}/inference",
                files={"file": (SAMPLE, sample.read_bytes(), "audio/wav")},
                data={"response_format": "json", "temperature": "0"},
                timeout=_ANSWER_TIMEOUT_S,
                trust_env=False,
            )
            response.raise_for_status()
            return str(response.json()["text"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise ToolMissing(
                f"The whisper-server at {binary} did not transcribe {SAMPLE} ({type(error).__name__}). {_TAKE_ANOTHER}"
            ) from error


@contextmanager
def serving(binary: Path, model: Path) -> Iterator[str]:
    port = free_port()
    command: list[str | Path] = [binary, "-m", model, "--host", "127.0.0.1", "--port", str(port)]
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        except OSError as error:
            raise ToolMissing(
                f"The whisper-server at {binary} cannot be run: {error.strerror}. {_TAKE_ANOTHER}"
            ) from error
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_until_healthy(process, url, binary, output)
            yield url
        finally:
            _stop(process)


def _wait_until_healthy(process: subprocess.Popen[bytes], url: str, binary: Path, output: IO[bytes]) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ToolMissing(
                f"The whisper-server at {binary} ended at once (exit status {process.returncode}). "
                f"{_TAKE_ANOTHER} It said: {_last_line(output)}"
            )
        if _is_healthy(url):
            return
        time.sleep(_POLL_S)
    raise ToolMissing(f"The whisper-server at {binary} did not start within {_START_TIMEOUT_S:g} s. {_TAKE_ANOTHER}")


def _is_healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=2.0, trust_env=False).is_success
    except httpx.TransportError:
        return False


def _last_line(output: IO[bytes]) -> str:
    output.seek(0)
    lines = output.read().decode("utf-8", "replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "nothing")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _fingerprint(binary: Path) -> str:
    facts = binary.stat()
    return f"{facts.st_size} {facts.st_mtime_ns} {hashlib.sha256(cpu_features().encode()).hexdigest()[:12]}"


def _marker(binary: Path) -> Path:
    name = hashlib.sha256(str(binary.resolve()).encode()).hexdigest()[:16]
    return whisper_cache_folder() / "tried" / name
