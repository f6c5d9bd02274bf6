"""A small disk of the queue's own, which can be filled and freed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SIZE_MB = 512
BALLAST = "ballast"
_BLOCK_BYTES = 64 * 1024
_INSIDE = "CHAOS_INSIDE_NAMESPACE"


class NoDisk(Exception):
    """This machine lets nobody but root mount a disk. The sentence says what to do."""


def enter_namespace() -> None:
    """Who may not mount starts this program again as root of a namespace of its own; returns only where that is not needed."""
    if os.geteuid() == 0 or _INSIDE in os.environ:
        return
    command = ("unshare", "--user", "--map-root-user", "--mount", sys.executable, "-m", "chaos", *sys.argv[1:])
    try:
        os.execvpe(command[0], command, {**os.environ, _INSIDE: "1"})  # noqa: S606  no shell is wanted
    except OSError as error:
        raise NoDisk(f"unshare cannot be run ({error.strerror}). Install util-linux, or run as root.") from error


@contextmanager
def mounted(path: Path) -> Iterator[Path]:
    """Raises NoDisk."""
    mount = ("mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m,mode=700", "whisperfleet-chaos", str(path))
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NoDisk(
            f"No disk could be mounted for the queue: {done.stderr.strip()}. Run as root, outside a container."
        )
    try:
        yield path
    finally:
        unmount = ("umount", "--lazy", str(path))
        subprocess.run(unmount, check=True)


def fill(disk: Path) -> int:
    """Bytes written until not one more fitted."""
    written = 0
    block = bytes(_BLOCK_BYTES)
    with (disk / BALLAST).open("ab", buffering=0) as ballast:
        while True:
            try:
                written += ballast.write(block)
            except OSError:
                if len(block) == 1:
                    return written
                block = block[: max(1, len(block) // 16)]


def free(disk: Path) -> None:
    (disk / BALLAST).unlink(missing_ok=True)
