from __future__ import annotations

import asyncio
import time
from itertools import count

import pytest
from gateway_harness import MODEL
from journal_harness import plan, record, result

from whisper_contracts import names
from whisper_contracts.failures import FailureReason
from whisper_contracts.messages import Attempt, JobState, Message, WindowFailure
from whisper_dispatcher.jetstream.streams import Stored
from whisper_dispatcher.jobs.index import TOMBSTONE_TTL_S, JobIndex, JobView

_sequences = count(1)


class Journal:
    """Numbers messages as the stream would."""

    def __init__(self) -> None:
        self.index = JobIndex()

    def write(self, subject: str, message: Message) -> int:
        sequence = next(_sequences)
        self.index.apply(Stored(subject, sequence, message.encode()))
        return sequence

    def accept(self, job: str, client: str = "c", **changes: object) -> JobView:
        self.write(names.record_subject(client, job), record(client, job, **changes))
        return self.view(job)

    def plan(self, job: str, windows: int, client: str = "c") -> None:
        self.write(names.plan_result_subject(client, job), plan(windows))

    def state(self, job: str, state: JobState, client: str = "c") -> int:
        return self.write(names.state_subject(client, job), state)

    def view(self, job: str) -> JobView:
        view = self.index.get(job)
        assert view
        return view


@pytest.fixture
def journal() -> Journal:
    return Journal()


def test_a_job_goes_from_queued_over_running_to_completed(journal: Journal) -> None:
    view = journal.accept("j")
    assert (view.name, view.is_final) == ("queued", False)
    journal.plan("j", windows=2)
    assert (view.name, view.total, view.duration_s) == ("running", 2, 20.0)
    journal.write(names.window_result_subject(MODEL, "c", "j", 1), result(1))
    assert (view.done, view.is_complete) == ({1}, False)
    journal.write(names.window_result_subject(MODEL, "c", "j", 0), result(0))
    assert view.is_complete
    assert not view.is_final
    journal.state("j", JobState(state="completed", at=1.0))
    assert (view.name, view.is_final) == ("completed", True)


def test_a_clients_job_is_hidden_from_others(journal: Journal) -> None:
    journal.accept("j", "mine")
    assert journal.index.get("j", "mine")
    assert journal.index.get("j", "theirs") is None
    assert journal.index.jobs("theirs") == []


def test_jobs_are_listed_newest_first_and_counted_while_active(journal: Journal) -> None:
    for job in ("a", "b", "c"):
        journal.accept(job)
    journal.accept("d", "other")
    journal.state("b", JobState(state="failed", at=1.0, reason=FailureReason.TIMEOUT))
    assert [view.job for view in journal.index.jobs("c")] == ["c", "b", "a"]
    assert {view.job for view in journal.index.active("c")} == {"a", "c"}
    assert (journal.index.active_count("c"), journal.index.active_count()) == (2, 3)


def test_a_requeued_job_is_active_again_with_its_results_and_fresh_attempts(journal: Journal) -> None:
    view = journal.accept("j")
    journal.plan("j", windows=2)
    journal.write(names.window_result_subject(MODEL, "c", "j", 0), result(0))
    attempt = Attempt(generation=0, attempts=5, reason=FailureReason.TIMEOUT, retry_at=1.0)
    journal.write(names.attempt_subject(MODEL, "c", "j", 1), attempt)
    failure = WindowFailure(generation=0, index=1, attempts=5, reason=FailureReason.TIMEOUT, message="m")
    journal.write(names.failure_subject(MODEL, "c", "j", 1), failure)
    journal.state("j", JobState(state="failed", at=1.0, reason=FailureReason.TIMEOUT))
    assert (view.attempts, view.failure, journal.index.active()) == ({1: 5}, failure, [])
    sequence = journal.state("j", JobState(state="queued", at=2.0, generation=1))
    assert (view.is_final, view.generation, view.done, view.attempts) == (False, 1, {0}, {})
    assert view.state_sequence == sequence
    assert journal.index.active() == [view]


def test_only_earlier_jobs_of_the_same_class_are_ahead_in_the_queue(journal: Journal) -> None:
    first, bulk, second, third = (
        journal.accept(job, class_=class_)
        for job, class_ in (("a", "interactive"), ("b", "bulk"), ("c", "interactive"), ("d", "interactive"))
    )
    assert [journal.index.queue_position(view) for view in (first, bulk, second, third)] == [0, 0, 1, 2]
    journal.state("a", JobState(state="cancelled", at=1.0))
    assert [journal.index.queue_position(view) for view in (first, second, third)] == [0, 0, 1]


def test_a_requeued_job_has_its_old_place_and_an_erased_one_none(journal: Journal) -> None:
    first, second, third = (journal.accept(job) for job in ("a", "b", "c"))
    journal.state("a", JobState(state="failed", at=1.0, reason=FailureReason.TIMEOUT))
    assert [journal.index.queue_position(view) for view in (first, second, third)] == [0, 0, 1]
    journal.state("a", JobState(state="queued", at=2.0, generation=1))
    assert [journal.index.queue_position(view) for view in (first, second, third)] == [0, 1, 2]
    journal.state("b", JobState(state="cancelled", at=3.0))
    journal.state("b", JobState(state="deleted", at=4.0))
    assert journal.index.queue_position(third) == 1
    again = journal.accept("b")
    assert [journal.index.queue_position(view) for view in (first, third, again)] == [0, 1, 2]


def test_the_places_in_a_long_queue_are_told_at_once(journal: Journal) -> None:
    """One walk over the active jobs for every job shown held up the gateway: here some 20 s of it."""
    views = [journal.accept(f"j{number}") for number in range(3000)]
    started = time.perf_counter()
    assert [journal.index.queue_position(view) for view in views] == list(range(3000))
    assert time.perf_counter() - started < 2


def test_audio_seconds_count_on_the_day_of_acceptance_and_once(journal: Journal) -> None:
    day_s = 86_400.0
    journal.accept("a", created_at=10 * day_s + 5)
    journal.accept("b", created_at=10 * day_s + 7)
    journal.plan("a", windows=3)
    journal.plan("a", windows=3)
    journal.plan("b", windows=1)
    assert journal.index.audio_seconds_on("c", 10 * day_s) == 40.0
    assert journal.index.audio_seconds_on("c", 11 * day_s) == 0.0
    assert journal.index.audio_seconds_on("other", 10 * day_s) == 0.0


def test_an_erased_job_is_forgotten_and_its_id_may_come_again(journal: Journal) -> None:
    journal.accept("j")
    tombstone = journal.state("j", JobState(state="deleted", at=1.0))
    assert journal.index.get("j") is None
    assert journal.index.is_erased("j")
    assert (journal.index.jobs(), journal.index.active_count()) == ([], 0)
    again = journal.accept("j")
    assert not journal.index.is_erased("j")
    # The next state has to replace the tombstone.
    assert (again.name, again.state_sequence) == ("queued", tombstone)


def test_a_result_that_comes_after_its_job_was_erased_is_a_ghost(journal: Journal) -> None:
    journal.accept("j")
    journal.state("j", JobState(state="deleted", at=1.0))
    journal.write(names.window_result_subject(MODEL, "c", "j", 0), result(0))
    assert [view.job for view in journal.index.ghosts()] == ["j"]
    assert (journal.index.jobs(), journal.index.active()) == ([], [])


def test_tombstones_are_dropped_when_they_have_expired_in_the_journal(journal: Journal) -> None:
    journal.state("old", JobState(state="deleted", at=1000.0))
    journal.state("young", JobState(state="deleted", at=2000.0))
    journal.state("new", JobState(state="deleted", at=1500.0 + TOMBSTONE_TTL_S))
    assert [tombstone.job for tombstone in journal.index.tombstones()] == ["young", "new"]


def test_what_a_worker_of_another_queue_writes_counts_for_nothing(journal: Journal) -> None:
    view = journal.accept("j")
    journal.plan("j", windows=1)
    failure = WindowFailure(generation=0, index=0, attempts=5, reason=FailureReason.TIMEOUT, message="m")
    attempt = Attempt(generation=0, attempts=5, reason=FailureReason.TIMEOUT, retry_at=1.0)
    journal.write(names.window_result_subject("evil", "c", "j", 0), result(0))
    journal.write(names.attempt_subject("evil", "c", "j", 0), attempt)
    journal.write(names.failure_subject("evil", "c", "j", 0), failure)
    assert (view.done, view.is_complete, view.attempts, view.failure) == (set(), False, {}, None)


def test_a_result_that_was_there_before_its_record_counts_only_if_it_is_of_the_jobs_queue(journal: Journal) -> None:
    journal.write(names.window_result_subject("evil", "c", "j", 0), result(0))
    journal.write(names.window_result_subject(MODEL, "c", "j", 1), result(1))
    assert journal.view("j").done == set()
    assert journal.accept("j").done == {1}


async def test_waiting_ends_with_the_final_state(journal: Journal) -> None:
    journal.accept("j")
    assert await journal.index.wait_final("j", 0.05) is None
    waiting = asyncio.create_task(journal.index.wait_final("j", 5))
    await asyncio.sleep(0)
    journal.plan("j", windows=1)
    await asyncio.sleep(0)
    assert not waiting.done()
    journal.state("j", JobState(state="completed", at=1.0))
    final = await waiting
    assert final
    assert final.name == "completed"


async def test_a_watch_hears_its_job_alone(journal: Journal) -> None:
    with journal.index.watch("j") as changed:
        journal.accept("k")
        assert not changed.is_set()
        journal.accept("j")
        assert changed.is_set()
