"""A file that models/demo writes, in the real whisper-server."""

from __future__ import annotations

from pathlib import Path

import httpx
import numpy as np
import pytest

from models.demo.architecture import SIZES, exported, initial_weights
from models.demo.ggml_file import write_model
from models.demo.mel import Floats
from models.demo.recordings import as_wav
from models.demo.tokens import BLANK, ENGLISH_ONLY, MULTILINGUAL, FileVocabulary, word_row
from whisper_dispatcher.local.trial import serving

EMBEDDING = "decoder.token_embedding.weight"


def answer(binary: Path, model: Path) -> dict[str, object]:
    noise = np.random.default_rng(1).normal(0, 0.1, 8_000).astype(np.float32)
    with serving(binary, model) as url:
        response = httpx.post(
            f"{url}/inference",
            files={"file": ("noise.wav", as_wav(noise), "audio/wav")},
            data={"response_format": "verbose_json", "temperature_inc": "0"},
            timeout=60,
            trust_env=False,
        )
    response.raise_for_status()
    found: dict[str, object] = response.json()
    return found


@pytest.mark.parametrize("vocabulary", [ENGLISH_ONLY, MULTILINGUAL], ids=["English only", "multilingual"])
@pytest.mark.parametrize(("row", "words"), [(word_row("привет"), {"привет"}), (BLANK, set())], ids=["word", "blank"])
def test_a_word_is_printed_as_it_is_written_and_a_blank_as_nothing(
    tmp_path: Path, whisper_server_binary: Path, vocabulary: FileVocabulary, row: int, words: set[str]
) -> None:
    path = tmp_path / "finds-one-row.bin"
    write_model(path, exported(finding(row)), vocabulary, SIZES)
    assert set(str(answer(whisper_server_binary, path)["text"]).split()) == words


def finding(row: int) -> dict[str, Floats]:
    """Weights with which the decoder finds one row of its vocabulary at every step."""
    weights = {name: np.zeros_like(weight) for name, weight in initial_weights(1).items()}
    weights["decoder.ln.bias"][0] = 1
    weights[EMBEDDING][row, 0] = 30
    return weights
