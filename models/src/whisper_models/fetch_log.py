"""What a download in a pod logs for its operator: one JSON object a line, the last of which says why it failed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from whisper_models.download import DownloadFailed, DownloadReason, Progress
from whisper_models.ggml import InvalidModelFile

EVERY_S = 1.0


def progress_lines(
    write: Callable[[str], object], every_s: float = EVERY_S, clock: Callable[[], float] = time.monotonic
) -> Progress:
    """At most one line in every_s."""
    told_at = float("-inf")

    def tell(done_bytes: int, total_bytes: int | None) -> None:
        nonlocal told_at
        if clock() - told_at >= every_s:
            told_at = clock()
            write(json.dumps({"bytes": done_bytes, "total": total_bytes}))

    return tell


def failure_line(error: Exception) -> str:
    match error:
        case DownloadFailed(reason=reason):
            pass
        case InvalidModelFile():
            reason = DownloadReason.NOT_A_MODEL
        case _:
            reason = DownloadReason.NOT_FOUND
    return json.dumps({"reason": reason, "message": str(error)})
