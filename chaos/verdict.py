"""What the run has shown: which jobs were lost, doubled, stuck. Pure: decides over what was seen at the end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from whisper_dispatcher.transcript.word_error import word_error_rate

FINAL_STATES = frozenset({"completed", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class SeenJob:
    """One Idempotency-Key: what was answered for it, and what the API and the journal say of its job afterwards."""

    key: str
    answered_ids: frozenset[str]
    """Empty: no upload with this key was ever accepted."""
    spoken: str
    undisturbed: str
    """What the same recording gave before anything was killed."""
    state: str = ""
    """Of `GET /v1/jobs/{id}`; empty when there is no such job."""
    reason: str = ""
    listed_state: str = ""
    last_events: tuple[str, ...] = ()
    """Those of the event stream that end a job."""
    texts: tuple[str, ...] = ()
    """Of each reading of the result."""
    journal: Mapping[str, int] = field(default_factory=dict)
    """Messages by kind: `record`, `plan`, `window.0`, `state`."""


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What should not be there once everything is quiet."""

    foreign_jobs: tuple[str, ...] = ()
    """Listed, and of no key."""
    work: Mapping[str, int] = field(default_factory=dict)
    """Messages and unacknowledged deliveries, by stream or consumer."""
    processes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """Sentences, one for each fault."""

    lost: tuple[str, ...]
    duplicated: tuple[str, ...]
    stuck: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return not (self.lost or self.duplicated or self.stuck)


def judge(jobs: Iterable[SeenJob], left: Leftovers) -> Verdict:
    seen = list(jobs)
    stuck = [problem for job in seen if (problem := stuck_problem(job))]
    stuck += [f"{count} left in {place}" for place, count in left.work.items() if count]
    stuck += [f"process left over: {process}" for process in left.processes]
    duplicated = [problem for job in seen if (problem := duplication_problem(job))]
    duplicated += [f"job {job} belongs to no upload" for job in left.foreign_jobs]
    return Verdict(
        lost=tuple(problem for job in seen if (problem := loss_problem(job))),
        duplicated=tuple(duplicated),
        stuck=tuple(stuck),
    )


def loss_problem(job: SeenJob) -> str:
    """ "" when the job has the right text, or when it is not final: then it is stuck, not lost."""
    if not job.answered_ids:
        return f"{job.key} was never accepted"
    if not job.state:
        return f"{job.key} was accepted and is unknown"
    if job.state not in FINAL_STATES:
        return ""
    if job.state != "completed":
        return f"{job.key} {job.state}: {job.reason}"
    if job.listed_state != "completed" or job.last_events != ("completed",):
        return f"{job.key} is completed, listed as {job.listed_state!r}, its events end with {job.last_events}"
    if wrong := next((text for text in job.texts if not is_right(text, job)), None):
        return f"{job.key} reads {wrong!r} instead of {job.undisturbed!r}"
    return "" if job.texts else f"{job.key} is completed and has no result"


def is_right(text: str, job: SeenJob) -> bool:
    """As the undisturbed run heard it, or nearer to what was spoken."""
    if word_error_rate(job.undisturbed, text) == 0.0:
        return True
    return word_error_rate(job.spoken, text) < word_error_rate(job.spoken, job.undisturbed)


def duplication_problem(job: SeenJob) -> str:
    if len(job.answered_ids) > 1:
        return f"{job.key} became the jobs {', '.join(sorted(job.answered_ids))}"
    if len(set(job.texts)) > 1:
        return f"{job.key} reads differently each time"
    if several := [kind for kind, count in job.journal.items() if count > 1 and is_written_once(kind)]:
        return f"{job.key} has more than one {', '.join(several)} in the journal"
    return ""


def is_written_once(kind: str) -> bool:
    return kind in ("record", "plan", "state") or kind.startswith("window.")


def stuck_problem(job: SeenJob) -> str:
    if job.answered_ids and job.state and job.state not in FINAL_STATES:
        return f"{job.key} is still {job.state}"
    return ""
