from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from whisper_models.bundled import demo_model_path
from whisper_models.catalogue import BUNDLED, CatalogueModel, UnknownModel
from whisper_models.cli import app
from whisper_models.ensure import ensure_model
from whisper_models.fetch_log import progress_lines
from whisper_models.ggml import InvalidModelFile


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    cache = tmp_path / "cache"
    monkeypatch.setenv("WHISPERFLEET_CACHE", str(cache))
    return cache


@pytest.mark.parametrize("model", BUNDLED.values(), ids=lambda model: model.name)
async def test_a_demo_model_needs_no_download(model: CatalogueModel) -> None:
    assert await ensure_model(model.name) == demo_model_path(model)


async def test_a_path_is_checked_and_used_as_it_is(model_file: Path) -> None:
    assert await ensure_model(str(model_file)) == model_file
    with pytest.raises(InvalidModelFile, match="not a ggml"):
        await ensure_model(Path(__file__))


async def test_a_mistyped_path_is_a_missing_file_and_a_mistyped_name_an_unknown_model() -> None:
    with pytest.raises(InvalidModelFile, match="no model file"):
        await ensure_model("models/ggml-bse.bin")
    with pytest.raises(UnknownModel):
        await ensure_model("bse.en")


def test_the_list_shows_the_bundled_models_and_what_is_in_the_cache(own_cache: Path) -> None:
    (own_cache / "models").mkdir(parents=True)
    (own_cache / "models" / "ggml-tiny.bin").touch()
    lines = {line.split()[0]: line.split()[1:] for line in CliRunner().invoke(app, ["list"]).stdout.splitlines()}
    assert lines["demo.en"][-1] == lines["demo"][-1] == "bundled"
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


def test_a_folder_gets_a_verified_copy_of_the_demo_model(tmp_path: Path) -> None:
    target = tmp_path / demo_model_path().name
    target.write_bytes(b"half a file")
    result = CliRunner().invoke(app, ["fetch", "demo.en", "--dir", str(tmp_path), "--json"])
    assert (result.exit_code, result.stdout.strip()) == (0, str(target))
    assert target.read_bytes() == demo_model_path().read_bytes()
    assert list(tmp_path.iterdir()) == [target]


def fetch_url(server: Any, folder: Path, sha256: str, **options: Any) -> Any:
    return CliRunner().invoke(
        app,
        ["fetch-url", f"{server.url}/own.bin", "--file", "f.bin", "--sha256", sha256, "--dir", str(folder)],
        **options,
    )


def test_a_model_of_any_address_arrives_under_the_name_that_was_given(
    model_server: Any, ggml_bytes: Any, tmp_path: Path
) -> None:
    model_server.body = ggml_bytes()
    result = fetch_url(model_server, tmp_path, hashlib.sha256(model_server.body).hexdigest())
    *progress, path = result.stdout.splitlines()
    assert (result.exit_code, path) == (0, str(tmp_path / "f.bin"))
    assert json.loads(progress[0])["total"] == len(model_server.body)
    assert (tmp_path / "f.bin").read_bytes() == model_server.body


def test_one_wrong_byte_is_told_as_json_and_leaves_no_file(model_server: Any, ggml_bytes: Any, tmp_path: Path) -> None:
    model_server.body = ggml_bytes()
    result = fetch_url(model_server, tmp_path, hashlib.sha256(model_server.body + b"x").hexdigest())
    assert result.exit_code == 1
    said = json.loads(result.stdout.splitlines()[-1])
    assert said["reason"] == "ChecksumMismatch"
    assert "own.bin" in said["message"]
    assert not (tmp_path / "f.bin").exists()


def test_the_token_is_shown_to_the_host_of_the_model(model_server: Any, ggml_bytes: Any, tmp_path: Path) -> None:
    model_server.body = ggml_bytes()
    asked_with: list[str | None] = []

    def refuse(handler: Any, _body: bytes, _start: int) -> None:
        asked_with.append(handler.headers.get("Authorization"))
        handler.send_response(401)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    model_server.behaviours = [refuse]
    result = fetch_url(model_server, tmp_path, "0" * 64, env={"WHISPER_MODELS_TOKEN": "secret"})
    assert asked_with == ["Bearer secret"]
    assert json.loads(result.stdout.splitlines()[-1])["reason"] == "Unauthorized"
    assert "secret" not in result.stdout


def test_progress_is_told_at_most_once_in_an_interval() -> None:
    lines: list[str] = []
    at_s = iter([0.0, 0.0, 0.5, 1.0, 1.0])
    tell = progress_lines(lines.append, every_s=1.0, clock=lambda: next(at_s))
    for done_bytes in (1, 2, 3):
        tell(done_bytes, 3)
    assert [json.loads(line)["bytes"] for line in lines] == [1, 3]
