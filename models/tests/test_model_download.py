from __future__ import annotations

import asyncio
import fcntl
import hashlib
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from whisper_models.bundled import demo_model_path
from whisper_models.catalogue import CatalogueModel
from whisper_models.download import DownloadFailed, DownloadPolicy, DownloadReason, download_model, retry_delay_s

QUICK = DownloadPolicy(attempts=3, first_delay_s=0.001, connect_timeout_s=30.0, stall_timeout_s=30.0)


@pytest.fixture
def body(ggml_bytes: Callable[..., bytes]) -> bytes:
    return ggml_bytes()


@pytest.fixture
def model(model_server: Any, body: bytes) -> CatalogueModel:
    model_server.body = body
    return described(body)


def described(content: bytes, **changed: Any) -> CatalogueModel:
    facts = {"size_bytes": len(content), "sha1": None, "sha256": hashlib.sha256(content).hexdigest()} | changed
    return CatalogueModel(name="own", file="ggml-own.bin", **facts)


def answer(status: int, content: bytes = b"") -> Callable[..., None]:
    def behaviour(handler: BaseHTTPRequestHandler, _body: bytes, _start: int) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return behaviour


def has_part(folder: Path) -> bool:
    return any(folder.glob("*.part*"))


async def failure_of(model: CatalogueModel, folder: Path, url: str, policy: DownloadPolicy = QUICK) -> DownloadFailed:
    with pytest.raises(DownloadFailed) as caught:
        await download_model(model, folder, mirror=url, policy=policy)
    assert not (folder / model.file).exists()
    assert caught.value.message.endswith(".")
    return caught.value


async def test_a_download_arrives_whole_and_leaves_no_part(
    model_server: Any, model: CatalogueModel, tmp_path: Path, body: bytes
) -> None:
    seen: list[tuple[int, int | None]] = []
    path = await download_model(
        model, tmp_path / "new", mirror=model_server.url, on_progress=lambda done, total: seen.append((done, total))
    )
    assert path.read_bytes() == body
    assert seen[-1] == (len(body), len(body))
    assert [file.name for file in path.parent.iterdir() if not file.name.startswith(".")] == [model.file]


async def test_a_model_that_is_there_is_not_fetched_again(
    model_server: Any, model: CatalogueModel, tmp_path: Path
) -> None:
    await download_model(model, tmp_path, mirror=model_server.url)
    await download_model(model, tmp_path, mirror=model_server.url)
    assert len(model_server.ranges) == 1


async def test_a_cut_download_goes_on_where_it_stopped(
    model_server: Any, model: CatalogueModel, tmp_path: Path, body: bytes, cut_after: Any
) -> None:
    model_server.behaviours = [cut_after(5000), cut_after(2000)]
    path = await download_model(model, tmp_path, mirror=model_server.url, policy=QUICK)
    assert path.read_bytes() == body
    assert model_server.ranges == [None, "bytes=5000-", "bytes=7000-"]


async def test_progress_resets_the_count_of_attempts(
    model_server: Any, model: CatalogueModel, tmp_path: Path, body: bytes, cut_after: Any
) -> None:
    model_server.behaviours = [cut_after(100) for _ in range(QUICK.attempts * 3)]
    path = await download_model(model, tmp_path, mirror=model_server.url, policy=QUICK)
    assert path.read_bytes() == body


async def test_the_next_run_goes_on_with_the_part_of_the_last(
    model_server: Any, model: CatalogueModel, tmp_path: Path, body: bytes, cut_after: Any
) -> None:
    once = DownloadPolicy(attempts=1)
    model_server.behaviours = [cut_after(6000)]
    failure = await failure_of(model, tmp_path, model_server.url, once)
    assert failure.reason is DownloadReason.UNREACHABLE
    await download_model(model, tmp_path, mirror=model_server.url, policy=once)
    assert model_server.ranges == [None, "bytes=6000-"]


async def test_a_server_without_ranges_restarts_from_zero(
    model_server: Any, model: CatalogueModel, tmp_path: Path, body: bytes, cut_after: Any
) -> None:
    model_server.behaviours = [cut_after(5000), answer(200, body)]
    path = await download_model(model, tmp_path, mirror=model_server.url, policy=QUICK)
    assert path.read_bytes() == body
    assert model_server.ranges == [None, "bytes=5000-"]


async def test_a_file_that_changed_between_two_runs_is_fetched_from_zero(
    model_server: Any, model: CatalogueModel, tmp_path: Path, cut_after: Any, ggml_bytes: Callable[..., bytes]
) -> None:
    model_server.behaviours = [cut_after(5000)]
    await failure_of(model, tmp_path, model_server.url, DownloadPolicy(attempts=1))
    model_server.body, model_server.etag = ggml_bytes(n_vocab=51_865), '"v2"'
    path = await download_model(described(model_server.body), tmp_path, mirror=model_server.url, policy=QUICK)
    assert path.read_bytes() == model_server.body


async def test_a_206_of_another_version_is_not_glued_to_the_part(
    model_server: Any, model: CatalogueModel, tmp_path: Path, body: bytes, cut_after: Any
) -> None:
    """A server that ignores If-Range and answers with the rest of a newer file."""

    def other_version(handler: BaseHTTPRequestHandler, content: bytes, start: int) -> None:
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        handler.send_header("ETag", '"v2"')
        handler.end_headers()

    model_server.behaviours = [cut_after(5000), other_version]
    path = await download_model(model, tmp_path, mirror=model_server.url, policy=QUICK)
    assert path.read_bytes() == body
    assert model_server.ranges == [None, "bytes=5000-", None]


async def test_a_206_that_starts_elsewhere_is_not_glued_to_the_part(
    model_server: Any, model: CatalogueModel, tmp_path: Path, body: bytes, cut_after: Any
) -> None:
    def wrong_start(handler: BaseHTTPRequestHandler, content: bytes, start: int) -> None:
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes {start - 1}-{len(content) - 1}/{len(content)}")
        handler.end_headers()
        handler.wfile.write(content[start - 1 :])

    model_server.behaviours = [cut_after(5000), wrong_start]
    path = await download_model(model, tmp_path, mirror=model_server.url, policy=QUICK)
    assert path.read_bytes() == body


async def test_a_part_that_is_already_whole_is_verified_and_named(
    model_server: Any, model: CatalogueModel, tmp_path: Path, body: bytes
) -> None:
    unknown_size = described(body, size_bytes=None)
    (tmp_path / "ggml-own.bin.part").write_bytes(body)
    path = await download_model(unknown_size, tmp_path, mirror=model_server.url, policy=QUICK)
    assert path.read_bytes() == body
    assert model_server.ranges == [f"bytes={len(body)}-"]


async def test_a_wrong_checksum_deletes_the_part_and_says_so(
    model_server: Any, model: CatalogueModel, tmp_path: Path, body: bytes
) -> None:
    failure = await failure_of(described(body, sha256="0" * 64), tmp_path, model_server.url)
    assert failure.reason is DownloadReason.CHECKSUM_MISMATCH
    assert "deleted" in failure.message
    assert not has_part(tmp_path)


async def test_sha1_decides_where_it_is_all_that_is_known(model_server: Any, tmp_path: Path, body: bytes) -> None:
    model_server.body = body
    sha1 = hashlib.sha1(body, usedforsecurity=False).hexdigest()
    wrong = await failure_of(described(body, sha256=None, sha1="0" * 40), tmp_path, model_server.url)
    assert wrong.reason is DownloadReason.CHECKSUM_MISMATCH
    await download_model(described(body, sha256=None, sha1=sha1), tmp_path, mirror=model_server.url)


async def test_a_web_page_in_place_of_the_model_is_not_a_model(model_server: Any, tmp_path: Path, body: bytes) -> None:
    model_server.body = b"<html>Please sign in</html>"
    known = await failure_of(described(body), tmp_path, model_server.url)
    unknown = await failure_of(described(body, size_bytes=None), tmp_path, model_server.url)
    assert known.reason is unknown.reason is DownloadReason.NOT_A_MODEL


@pytest.mark.parametrize(
    ("status", "reason", "requests", "advice"),
    [
        (404, DownloadReason.NOT_FOUND, 1, "check the address or the mirror"),
        (401, DownloadReason.UNAUTHORIZED, 1, "check the token or the key"),
        (403, DownloadReason.UNAUTHORIZED, 1, "check the token or the key"),
        (400, DownloadReason.UNREACHABLE, 1, "or use another address or mirror"),
        (503, DownloadReason.UNREACHABLE, QUICK.attempts, "or use another address or mirror"),
        (429, DownloadReason.UNREACHABLE, QUICK.attempts, "or use another address or mirror"),
    ],
)
async def test_only_transient_refusals_are_tried_again(
    model_server: Any,
    model: CatalogueModel,
    tmp_path: Path,
    status: int,
    reason: DownloadReason,
    requests: int,
    advice: str,
) -> None:
    model_server.behaviours = [answer(status) for _ in range(10)]
    failure = await failure_of(model, tmp_path, model_server.url)
    assert (failure.reason, failure.message.endswith(f"{advice}.")) == (reason, True)
    assert len(model_server.ranges) == requests


async def test_a_stalled_download_ends_and_keeps_what_it_has(
    model_server: Any, model: CatalogueModel, tmp_path: Path
) -> None:
    def stall(handler: BaseHTTPRequestHandler, content: bytes, start: int) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[:4000])
        handler.wfile.flush()
        model_server.released.wait(30)

    model_server.behaviours = [stall]
    impatient = DownloadPolicy(attempts=1, stall_timeout_s=3.0)
    failure = await failure_of(model, tmp_path, model_server.url, impatient)
    assert failure.reason is DownloadReason.STALLED
    assert (tmp_path / "ggml-own.bin.part").stat().st_size == 4000


async def test_no_network_is_told_in_a_sentence_that_names_the_way_out(model: CatalogueModel, tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://user:secret@127.0.0.1:{closed.getsockname()[1]}"
        failure = await failure_of(model, tmp_path, url)
    assert failure.reason is DownloadReason.UNREACHABLE
    assert failure.message.endswith("could not be reached; check the network, or name a mirror.")
    assert "secret" not in failure.message


@pytest.mark.parametrize("size_is_known", [True, False])
async def test_a_full_disk_is_found_out_before_the_download(
    model_server: Any, model: CatalogueModel, tmp_path: Path, body: bytes, size_is_known: bool, monkeypatch: Any
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: SimpleNamespace(free=len(body) - 1))
    described_model = described(body) if size_is_known else described(body, size_bytes=None)
    failure = await failure_of(described_model, tmp_path, model_server.url)
    assert failure.reason is DownloadReason.INSUFFICIENT_SPACE
    assert failure.message.endswith("; free some room, or give the volume more.")
    assert len(model_server.ranges) == (0 if size_is_known else 1)


async def test_two_downloads_of_one_model_fetch_it_once(
    model_server: Any, model: CatalogueModel, tmp_path: Path, body: bytes
) -> None:
    paths = await asyncio.gather(*(download_model(model, tmp_path, mirror=model_server.url) for _ in range(3)))
    assert {path.read_bytes() for path in paths} == {body}
    assert len(model_server.ranges) == 1


async def test_a_download_waits_while_another_process_holds_the_lock(
    model_server: Any, model: CatalogueModel, tmp_path: Path
) -> None:
    with (tmp_path / ".ggml-own.bin.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        download = asyncio.create_task(download_model(model, tmp_path, mirror=model_server.url))
        done, _ = await asyncio.wait({download}, timeout=0.3)
        assert not done
        assert model_server.ranges == []
    assert (await download).exists()


@pytest.mark.parametrize(("failures", "longest_s"), [(1, 1.0), (2, 2.0), (5, 16.0), (6, 30.0), (60, 30.0)])
def test_the_delay_doubles_up_to_half_a_minute(failures: int, longest_s: float) -> None:
    assert retry_delay_s(failures, 1.0, jitter=1.0) == longest_s
    assert retry_delay_s(failures, 1.0, jitter=0.0) == longest_s / 2


def test_a_download_that_is_killed_goes_on_and_fetches_at_most_2_percent_again(
    model_server: Any, tmp_path: Path
) -> None:
    content = demo_model_path().read_bytes()
    half = len(content) // 2
    model_server.body = content

    def send_half(handler: BaseHTTPRequestHandler, body: bytes, _start: int) -> None:
        handler.send_response(200)
        handler.send_header("ETag", model_server.etag)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[:half])
        model_server.released.wait(60)

    model_server.behaviours = [send_half]
    sha256 = hashlib.sha256(content).hexdigest()
    command = [sys.executable, "-c", "from whisper_models.cli import app; app()"]
    command += ["fetch-url", model_server.url, "--file", "own.bin", "--sha256", sha256, "--dir", str(tmp_path)]
    part = tmp_path / "own.bin.part"
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as download:
        deadline = time.monotonic() + 60
        while not part.exists() or part.stat().st_size < half:
            assert time.monotonic() < deadline and download.poll() is None
            time.sleep(0.01)
        download.kill()
    assert not (tmp_path / "own.bin").exists()
    subprocess.run(command, check=True, timeout=60, stdout=subprocess.DEVNULL)
    assert (tmp_path / "own.bin").read_bytes() == content
    first, resumed = model_server.ranges
    assert first is None
    assert int(resumed.removeprefix("bytes=").removesuffix("-")) >= half - len(content) * 0.02
