from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from whisper_models.bundled import demo_model_path
from whisper_models.catalogue import UnknownModel
from whisper_models.cli import app
from whisper_models.ensure import ensure_model
from whisper_models.ggml import InvalidModelFile


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    cache = tmp_path / "cache"
    monkeypatch.setenv("WHISPERFLEET_CACHE", str(cache))
    return cache


async def test_the_demo_model_needs_no_download() -> None:
    assert await ensure_model("demo.en") == demo_model_path()


async def test_a_path_is_checked_and_used_as_it_is(model_file: Path) -> None:
    assert await ensure_model(str(model_file)) == model_file
    with pytest.raises(InvalidModelFile, match="not a ggml"):
        await ensure_model(Path(__file__))


async def test_a_mistyped_path_is_a_missing_file_and_a_mistyped_name_an_unknown_model() -> None:
    with pytest.raises(InvalidModelFile, match="no model file"):
        await ensure_model("models/ggml-bse.bin")
    with pytest.raises(UnknownModel):
        await ensure_model("bse.en")


def test_the_list_shows_the_bundled_model_and_what_is_in_the_cache(own_cache: Path) -> None:
    (own_cache / "models").mkdir(parents=True)
    (own_cache / "models" / "ggml-tiny.bin").touch()
    lines = {line.split()[0]: line.split()[1:] for line in CliRunner().invoke(app, ["list"]).stdout.splitlines()}
    assert lines["demo.en"][-1] == "bundled"
    assert lines["tiny"][-1] == "yes"
    assert lines["base"][-1] == "MB"


def test_fetch_prints_the_path_alone_on_stdout() -> None:
    result = CliRunner().invoke(app, ["fetch", "demo.en"])
    assert (result.exit_code, result.stdout.strip()) == (0, str(demo_model_path()))


def test_fetch_ends_with_the_sentence_of_what_went_wrong(model_server: Any, own_cache: Path) -> None:
    model_server.body = b"<html></html>"
    result = CliRunner().invoke(app, ["fetch", "tiny", "--mirror", model_server.url])
    assert result.exit_code == 1
    assert "instead of 77,691,713" in result.stderr
    assert not list((own_cache / "models").glob("ggml-*"))


def test_verify_tells_a_whole_model_from_a_cut_one(model_file: Path) -> None:
    assert CliRunner().invoke(app, ["verify", str(model_file)]).exit_code == 0
    model_file.write_bytes(model_file.read_bytes()[:-5])
    result = CliRunner().invoke(app, ["verify", str(model_file)])
    assert result.exit_code == 1
    assert "cut short" in result.stderr
