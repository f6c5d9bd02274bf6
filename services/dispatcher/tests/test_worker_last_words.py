"""The last line of a worker that gives up: the kubelet keeps it, and the operator reads the reason in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from whisper_models.bundled import sample_path


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
