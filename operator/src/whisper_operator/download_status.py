"""What a status tells of a download: the WhisperServer's own, or the WhisperModel's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from whisper_operator.conditions import Claimed
from whisper_operator.problems import Wish, container_problem, scheduling_problem
from whisper_operator.resources import Manifest


@dataclass(frozen=True, slots=True)
class Progress:
    """Of a download, as it says itself."""

    done_bytes: int
    total_bytes: int | None


def download_claimed(type_: str, pods: list[Manifest], wish: Wish, progress: Progress | None) -> Claimed:
    """What keeps a model that is not there yet; pods: those that bring it."""
    problem = container_problem(pods) or scheduling_problem(pods, wish)
    if problem:
        return Claimed(type_, False, problem.reason, problem.message)
    if not any((pod.get("status") or {}).get("phase") == "Running" for pod in pods):
        return Claimed(type_, False, "DownloadPending", "The download has not started yet.")
    return Claimed(type_, False, "Downloading", _download_message(progress))


def _download_message(progress: Progress | None) -> str:
    if progress is None:
        return "The model is being downloaded."
    done_mb = progress.done_bytes / 1e6
    if not progress.total_bytes:
        return f"{done_mb:,.0f} MB of the model are there."
    return f"{done_mb:,.0f} of {progress.total_bytes / 1e6:,.0f} MB of the model are there."


def bytes_told(known_bytes: int | None, progress: Progress | None, *, is_there: bool) -> dict[str, Any]:
    total = (progress.total_bytes if progress else None) or known_bytes
    told: dict[str, Any] = {"bytesTotal": total} if total else {}
    if is_there:
        return told | {"percent": 100} | ({"bytesDownloaded": total} if total else {})
    done = progress.done_bytes if progress else 0
    return told | {"bytesDownloaded": done, "percent": done * 100 // total if total else 0}
