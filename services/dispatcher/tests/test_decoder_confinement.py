"""What a process in the cage can no longer do, whatever code it comes to run."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

CAGED = {
    "open a file": "open('/etc/hostname')",
    "open a socket": "socket.socket()",
    "make a pipe": "os.pipe()",
    "take more memory than it may": "bytearray(2 << 30)",
    "write more than the longest recording": "[file.write(bytes(1 << 20)) and file.flush() for _ in range(8)]",
}


@pytest.mark.parametrize("deed", CAGED.values(), ids=CAGED)
def test_a_confined_process_cannot(deed: str, tmp_path: Path) -> None:
    program = f"""
        import os, socket
        from whisper_dispatcher.planner import cage
        file = open({str(tmp_path / "output")!r}, "wb")
        cage.confine(cage.Order(max_duration_s=60, cpu_s=10))
        try:
            {deed}
        except (OSError, MemoryError):
            print("refused")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "refused\n"


def test_a_confined_process_that_computes_for_ever_is_killed() -> None:
    program = """
        from whisper_dispatcher.planner import cage
        cage.confine(cage.Order(max_duration_s=60, cpu_s=1))
        while True: pass
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=False, timeout=60)
    assert -done.returncode in (signal.SIGXCPU, signal.SIGKILL)


def test_the_process_that_forks_decoders_stays_small() -> None:
    """Each fork copies the page tables of everything loaded, which a note waits for on a busy machine."""
    program = "import sys, whisper_dispatcher.planner.cage; print({'pydantic', 'numpy', 'asyncio'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout == "set()\n"
