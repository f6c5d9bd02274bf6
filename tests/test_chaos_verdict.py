from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from chaos import recordings
from chaos.schedule import FULL_IN_ROUND, ROLES, steps
from chaos.verdict import Leftovers, SeenJob, judge

from whisper_dispatcher.planner.wav import plain_wav

GOOD = SeenJob(
    key="chaos-1",
    answered_ids=frozenset({"a"}),
    spoken="open the blue door",
    undisturbed="Open the blue floor.",
    state="completed",
    listed_state="completed",
    last_events=("completed",),
    texts=("open the blue floor", "open the blue floor"),
    journal={"record": 1, "plan": 1, "window.0": 1, "attempt.0": 3, "state": 1},
)


NOTHING_LEFT = Leftovers()


def verdict_of(left: Leftovers = NOTHING_LEFT, **changes: Any) -> tuple[int, int, int]:
    """Lost, duplicated, stuck."""
    verdict = judge([replace(GOOD, **changes)], left)
    assert verdict.holds == (not any((verdict.lost, verdict.duplicated, verdict.stuck)))
    return len(verdict.lost), len(verdict.duplicated), len(verdict.stuck)


def test_a_completed_job_with_the_undisturbed_text_is_well() -> None:
    assert verdict_of() == (0, 0, 0)


def test_a_text_nearer_to_what_was_spoken_is_right_too() -> None:
    assert verdict_of(texts=("open the blue door",) * 2) == (0, 0, 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"answered_ids": frozenset()},
        {"state": "", "listed_state": ""},
        {"state": "failed", "texts": ()},
        {"state": "cancelled", "texts": ()},
        {"texts": ()},
        {"texts": ("open the blue",) * 2},
        {"texts": ("open the blue floor open the blue floor",) * 2},
        {"listed_state": "running"},
        {"last_events": ()},
        {"last_events": ("completed", "completed")},
    ],
)
def test_what_was_accepted_and_has_not_its_text_is_lost(changes: dict[str, Any]) -> None:
    assert verdict_of(**changes) == (1, 0, 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"answered_ids": frozenset({"a", "b"})},
        {"texts": ("open the blue floor", "open the blue door")},
        {"journal": {"state": 2}},
        {"journal": {"window.3": 2}},
        {"journal": {"plan": 2}},
    ],
)
def test_a_key_with_two_jobs_or_two_transcripts_is_duplicated(changes: dict[str, Any]) -> None:
    assert verdict_of(**changes) == (0, 1, 0)


def test_a_listed_job_of_no_upload_is_a_duplicate() -> None:
    assert verdict_of(Leftovers(foreign_jobs=("b",))) == (0, 1, 0)


@pytest.mark.parametrize("state", ["queued", "running"])
def test_a_job_that_is_not_final_is_stuck_and_not_lost(state: str) -> None:
    assert verdict_of(state=state, texts=()) == (0, 0, 1)


def test_work_and_processes_left_over_are_stuck() -> None:
    left = Leftovers(work={"stream PLAN": 0, "stream WINDOWS": 2}, processes=("whisper-server 7",))
    assert verdict_of(left) == (0, 0, 2)


def test_the_same_seed_makes_the_same_plan() -> None:
    def first(seed: int) -> list[Any]:
        return list(itertools.islice(steps(seed), 40))

    assert first(3) == first(3)
    assert first(3) != first(4)


def test_every_role_is_killed_once_in_each_round() -> None:
    plan = [step.action for step in itertools.islice(steps(5), len(ROLES) * FULL_IN_ROUND)]
    rounds = [plan[start : start + len(ROLES)] for start in range(0, len(plan), len(ROLES))]
    assert all(Counter(round_) == Counter(ROLES) for round_ in rounds)


def test_the_disk_is_full_once_while_every_role_is_killed() -> None:
    plan = [step.action for step in itertools.islice(steps(6), 100)]
    assert plan.count("fill-disk") == plan.count("free-disk") == 1
    full = plan[plan.index("fill-disk") + 1 : plan.index("free-disk")]
    assert sorted(full) == sorted(ROLES)


def test_numbered_uploads_are_different_files() -> None:
    for recording in recordings.load().values():
        assert len({recordings.numbered(recording, number) for number in range(3)} | {recording.data}) == 4


def test_a_numbered_wav_has_the_same_samples() -> None:
    recording = recordings.load()["hello.wav"]
    pcm = plain_wav(recording.data)
    assert pcm
    assert plain_wav(recordings.numbered(recording, 7)) == pcm


def test_uploads_are_mostly_notes_and_some_have_several_windows() -> None:
    names = Counter(recordings.name_of(number) for number in range(200))
    assert (names[recordings.LONG], names[recordings.PART]) == (3, 2)
    assert set(names) == set(recordings.load())
