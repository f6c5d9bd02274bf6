"""The last line of a worker that gives up: the kubelet keeps it, and the operator reads the reason in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from whisper_models.bundled import demo_model_path, sample_path


def last_words(nats_url: str, binary: Path, model: Path, **settings: str) -> dict[str, str]:
    own = {"NATS_URL": nats_url, "LOG_JSON": "true", "MODEL": "demo.en"} | settings
    own |= {"WHISPER_SERVER": str(binary), "MODEL_PATH": str(model)}
    ended = subprocess.run(
        [sys.executable, "-m", "whisper_dispatcher.worker"],
        env=os.environ | {f"WHISPERFLEET_{name}": value for name, value in own.items()},
        stderr=subprocess.PIPE,
        text=True,
        timeout=100,
        check=False,
    )
    assert ended.returncode == 1
    found: dict[str, str] = json.loads(ended.stderr.splitlines()[-1])
    return found


@pytest.mark.parametrize(
    ("settings", "reason", "words"),
    [
        (
            {"GOLDEN_CLIP": str(sample_path("hello.wav")), "GOLDEN_TEXT": "five six seven eight nine"},
            "golden_clip",
            "instead of 'five six seven eight nine'",
        ),
        ({"GPU_REQUIRED": "true"}, "cpu_fallback", "a GPU is required"),
        ({"SERVER_ARGS": '["--no-such-flag"]'}, "server_failed", "refused its arguments"),
    ],
)
def test_a_worker_that_gives_up_says_why_in_its_last_line(
    settings: dict[str, str], reason: str, words: str, nats_url: str, whisper_server_binary: Path, demo_model: Path
) -> None:
    said = last_words(nats_url, whisper_server_binary, demo_model, **settings)
    assert said["reason"] == reason
    assert words in said["error"]


def cut(content: bytes) -> bytes:
    return content[:-1000]


def altered(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def foreign(content: bytes) -> bytes:
    return b"GGUF" + content[4:]


@pytest.mark.parametrize(
    ("name", "change", "verified", "words"),
    [
        ("own.bin", foreign, "false", "own.bin is not a ggml Whisper model"),
        ("own.bin", cut, "true", "own.bin is cut short"),
        ("ggml-tiny.bin", bytes, "true", "but the model tiny has 77,691,713"),
        (demo_model_path().name, altered, "false", "does not have the checksum of the model demo.en"),
    ],
)
def test_a_file_that_is_not_the_model_is_refused_before_whisper_server_sees_it(
    name: str,
    change: Callable[[bytes], bytes],
    verified: str,
    words: str,
    nats_url: str,
    demo_model: Path,
    tmp_path: Path,
) -> None:
    model = tmp_path / name
    model.write_bytes(change(demo_model.read_bytes()))
    server, seen = tmp_path / "whisper-server", tmp_path / "seen"
    server.write_text(f"#!/bin/sh\ntouch {seen}\n")
    server.chmod(0o755)
    said = last_words(nats_url, server, model, MODEL_VERIFIED=verified)
    assert said["reason"] == "not_a_model"
    assert words in said["error"]
    assert not seen.exists()
