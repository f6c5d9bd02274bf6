from __future__ import annotations

import re

import pytest

from whisper_models.bundled import NotBundled, demo_model_path
from whisper_models.catalogue import BUNDLED, CatalogueModel, UnknownModel, catalogue, find, known_file, model_url
from whisper_models.checksums import has_known_checksum


def test_every_model_has_a_well_formed_checksum_and_a_plausible_size() -> None:
    models = catalogue().values()
    assert len(models) >= 30
    for model in models:
        assert re.fullmatch(r"[0-9a-f]{40}", model.sha1 or ""), model.name
        assert model.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", model.sha256), model.name
        assert model.size_bytes is None or 30e6 < model.size_bytes < 4e9, model.name


def test_a_name_finds_its_file_size_and_checksums() -> None:
    model = find("base.en")
    assert (model.file, model.size_bytes) == ("ggml-base.en.bin", 147_964_211)
    assert model.sha1 == "137c40403d78fd54d454da0f9bd998f78703390c"
    assert model.sha256 == "a03779c86df3323075f5e796cb2ce5029f00ec8869eee3fdfb897afe36c6d002"
    assert known_file("ggml-base.en.bin") == model


def test_what_is_not_known_for_sure_is_none() -> None:
    model = find("large-v1")
    assert (model.size_bytes, model.sha256) == (None, None)


def test_a_mistyped_name_is_answered_with_the_names_that_come_close() -> None:
    with pytest.raises(UnknownModel, match=r"no model named 'bse.en'.*base\.en"):
        find("bse.en")
    with pytest.raises(UnknownModel, match="whisper-models list"):
        find("qqqqqqqq")


def test_the_address_is_pinned_to_a_revision_unless_a_mirror_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WHISPER_MODELS_MIRROR", raising=False)
    model = find("tiny")
    assert re.search(r"/resolve/[0-9a-f]{40}/ggml-tiny\.bin$", model_url(model))
    monkeypatch.setenv("WHISPER_MODELS_MIRROR", "http://mirror.test/all/")
    assert model_url(model) == "http://mirror.test/all/ggml-tiny.bin"
    assert model_url(model, "http://other.test") == "http://other.test/ggml-tiny.bin"


@pytest.mark.parametrize("model", BUNDLED.values(), ids=lambda model: model.name)
def test_a_bundled_model_is_the_one_that_is_pinned(model: CatalogueModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WHISPER_DEMO_MODEL", raising=False)
    path = demo_model_path(model)
    assert path.stat().st_size == model.size_bytes
    assert has_known_checksum(path, model)


def test_the_bundled_models_together_stay_small_enough_for_a_repository() -> None:
    assert sum(demo_model_path(model).stat().st_size for model in BUNDLED.values()) <= 12_000_000


def test_a_missing_bundled_model_says_which_variable_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHISPER_DEMO_MODEL", "/nowhere/model.bin")
    with pytest.raises(NotBundled, match=r"/nowhere/model\.bin.*WHISPER_DEMO_MODEL"):
        demo_model_path()
