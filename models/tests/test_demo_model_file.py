from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.demo import tokens
from models.demo.ggml_file import Sizes, dequantised, embedding_of_all_ids, quantised, write_model
from models.demo.mel import Floats, log_mel, mel_filters
from models.demo.tokens import ENGLISH_ONLY, MULTILINGUAL
from whisper_models.ggml import InvalidModelFile, check_model_file, is_multilingual

WIDTH = 32
SIZES = Sizes(WIDTH, 1, 1, 3, audio_context=512, text_context=64)


def weights() -> dict[str, Floats]:
    """As many tensors as whisper.cpp expects of these sizes, with little in them."""
    chance = np.random.default_rng(1)
    tensors = {f"t{n}": chance.normal(size=WIDTH).astype(np.float32) for n in range(11 + 15 + 24 * 3 - 3)}
    tensors["decoder.token_embedding.weight"] = chance.normal(size=(tokens.N_ROWS, WIDTH)).astype(np.float32)
    tensors["encoder.conv1.weight"] = chance.normal(size=(WIDTH, 80, 3)).astype(np.float32)
    return tensors | {"encoder.conv1.bias": np.zeros(WIDTH, np.float32)}


@pytest.mark.parametrize("vocabulary", [ENGLISH_ONLY, MULTILINGUAL], ids=["English only", "multilingual"])
def test_a_written_file_passes_the_check_of_models(tmp_path: Path, vocabulary: tokens.FileVocabulary) -> None:
    path = tmp_path / "own.bin"
    write_model(path, weights(), vocabulary, SIZES)
    check_model_file(path)
    assert is_multilingual(path) is vocabulary.is_multilingual


def test_a_file_that_lacks_a_tensor_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.bin"
    all_but_one = weights()
    del all_but_one["t0"]
    write_model(path, all_but_one, MULTILINGUAL, SIZES)
    with pytest.raises(InvalidModelFile, match="cut short"):
        check_model_file(path)


def test_quantising_keeps_each_number_within_a_step_of_its_block() -> None:
    matrix = np.random.default_rng(1).normal(size=(50, 64)).astype(np.float32)
    back = dequantised(quantised(matrix), (50, 64))
    step = np.abs(matrix).reshape(-1, 32).max(axis=1) / 16
    assert (np.abs(back - matrix).reshape(-1, 32) <= step[:, None] * 1.01).all()
    # The furthest of each block is kept but for rounding to half precision.
    furthest = np.abs(matrix).reshape(-1, 32).argmax(axis=1)[:, None]
    kept = [np.take_along_axis(one.reshape(-1, 32), furthest, 1) for one in (matrix, back)]
    np.testing.assert_allclose(*kept, rtol=2e-3)


def test_zeros_stay_zeros() -> None:
    assert not dequantised(quantised(np.zeros((2, 32), np.float32)), (2, 32)).any()


def test_ids_that_the_model_does_not_know_share_one_row() -> None:
    rows = np.random.default_rng(1).normal(size=(tokens.N_ROWS, 2)).astype(np.float32)
    whole = embedding_of_all_ids(rows, MULTILINGUAL)
    assert (whole[tokens.ids_of_rows(MULTILINGUAL)[tokens.word_row("zulu")]] == rows[tokens.word_row("zulu")]).all()
    assert (whole[40_000] == rows[tokens.UNUSED]).all()
    assert len(np.unique(whole, axis=0)) == tokens.N_ROWS - 1, "the row of English-only files is left out"


@pytest.mark.parametrize(
    ("mel", "bin_", "weight"),
    [(0, 1, 0.0248625949), (20, 20, 0.013890394), (45, 53, 0.00730182277), (79, 193, 0.00314131333)],
)
def test_the_filters_are_whispers_own(mel: int, bin_: int, weight: float) -> None:
    """Read out of a model file of the original Whisper."""
    assert mel_filters()[mel, bin_] == pytest.approx(weight, rel=1e-5)


def test_a_spectrogram_has_a_hundred_frames_a_second_and_a_floor() -> None:
    assert log_mel(np.zeros(16_000, np.float32)).shape[0] == pytest.approx(100, abs=2)
    np.testing.assert_allclose(log_mel(np.zeros(16_000, np.float32)), -10, rtol=1e-6)


def test_a_tone_shows_in_the_filter_around_it() -> None:
    tone = np.sin(2 * np.pi * 1_000 * np.arange(16_000) / 16_000).astype(np.float32)
    loudest = log_mel(tone)[50].argmax()
    assert mel_filters()[loudest, 1_000 // 40] > 0
