from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from whisper_models.bundled import demo_model_path
from whisper_models.catalogue import DEMO
from whisper_models.ggml import InvalidModelFile, check_model_file, is_multilingual


def test_the_demo_model_and_a_whole_foreign_model_pass(model_file: Path) -> None:
    check_model_file(demo_model_path())
    check_model_file(model_file)


@pytest.mark.parametrize("kept_bytes", [20, 47, 60, 800, -1, -256, -280])
def test_a_file_cut_anywhere_is_refused(model_file: Path, kept_bytes: int) -> None:
    model_file.write_bytes(model_file.read_bytes()[:kept_bytes])
    with pytest.raises(InvalidModelFile, match="cut short"):
        check_model_file(model_file)


def test_a_model_cut_exactly_between_two_tensors_is_refused(model_file: Path) -> None:
    tensor_bytes = 4 * 4 + 3 + 64 * 4
    model_file.write_bytes(model_file.read_bytes()[:-tensor_bytes])
    with pytest.raises(InvalidModelFile, match="cut short"):
        check_model_file(model_file)


@pytest.mark.parametrize("content", [b"", b"<html>Sign in</html>", b"GGUF" + bytes(100)])
def test_what_is_not_a_ggml_model_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.bin"
    path.write_bytes(content)
    with pytest.raises(InvalidModelFile, match=r"other\.bin is not a ggml Whisper model"):
        check_model_file(path)


def test_a_ggml_model_of_another_kind_is_refused(tmp_path: Path, ggml_bytes: Callable[..., bytes]) -> None:
    path = tmp_path / "llama.bin"
    path.write_bytes(ggml_bytes(n_vocab=32_000))
    with pytest.raises(InvalidModelFile, match="not that of a Whisper model"):
        check_model_file(path)


def test_an_unfinished_download_is_refused_even_if_its_bytes_are_whole(model_file: Path) -> None:
    part = model_file.rename(model_file.with_name("ggml-own.bin.part"))
    with pytest.raises(InvalidModelFile, match="unfinished download"):
        check_model_file(part)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidModelFile, match=r"no model file at .*gone\.bin"):
        check_model_file(tmp_path / "gone.bin")


def test_a_file_with_a_catalogue_name_must_have_that_models_size(model_file: Path) -> None:
    named = model_file.rename(model_file.with_name("ggml-tiny.bin"))
    with pytest.raises(InvalidModelFile, match="77,691,713"):
        check_model_file(named)


def test_one_changed_byte_fails_the_checksum_and_only_the_checksum(tmp_path: Path) -> None:
    content = bytearray(demo_model_path().read_bytes())
    content[-1] ^= 1
    path = tmp_path / DEMO.file
    path.write_bytes(content)
    check_model_file(path, checksum=False)
    with pytest.raises(InvalidModelFile, match="checksum"):
        check_model_file(path)


@pytest.mark.parametrize(("n_vocab", "expected"), [(51_864, False), (51_865, True), (51_866, True)])
def test_the_vocabulary_tells_whether_a_model_is_multilingual(
    tmp_path: Path, ggml_bytes: Callable[..., bytes], n_vocab: int, expected: bool
) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(ggml_bytes(n_vocab=n_vocab))
    assert is_multilingual(path) is expected
