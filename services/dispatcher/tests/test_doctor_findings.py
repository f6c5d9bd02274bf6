"""What `whisperfleet doctor` says of a queue."""

from __future__ import annotations

from typing import Any

import pytest

from whisper_dispatcher.local.findings import judge_stream


def stream(percent: int) -> dict[str, Any]:
    return {"config": {"max_bytes": 100}, "state": {"bytes": percent, "messages": 1}}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("JOURNAL", "From 80 % on uploads are refused with 429: erase finished jobs"),
        ("OBJ_audio", "At 100 % uploads are refused with 429"),
    ],
)
def test_a_stream_that_fills_up_says_when_uploads_are_refused(name: str, words: str) -> None:
    finding = judge_stream(name, stream(80))
    assert (finding.verdict, words in finding.text) == ("warning", True)
    assert judge_stream(name, stream(79)).verdict == "well"


def test_who_made_a_queue_is_told_how_to_make_what_is_missing() -> None:
    finding = judge_stream("JOURNAL", {"error": {"description": "stream not found"}})
    assert finding.verdict == "wrong"
    for made_by in ("`whisperfleet up`", "`whisperfleet prepare`", "the operator's log"):
        assert made_by in finding.text
