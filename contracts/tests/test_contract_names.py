from __future__ import annotations

from fnmatch import fnmatchcase

import pytest

from whisper_contracts import names


def matches(subject: str, subject_filter: str) -> bool:
    """NATS' rule: `*` is one token, a final `>` one or more."""
    wanted, tokens = subject_filter.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted, tokens = wanted[:-1], tokens[: len(wanted) - 1] if len(tokens) >= len(wanted) else []
    return len(wanted) == len(tokens) and all(map(fnmatchcase, tokens, wanted))


@pytest.mark.parametrize(
    ("subject", "parsed"),
    [
        (names.record_subject("c", "j"), ("c", "j", "record", "", None)),
        (names.plan_result_subject("c", "j"), ("c", "j", "plan", "", None)),
        (names.state_subject("c", "j"), ("c", "j", "state", "", None)),
        (names.window_result_subject("base.en", "c", "j", 12), ("c", "j", "window", "base.en", 12)),
        (names.attempt_subject("base.en", "c", "j", 0), ("c", "j", "attempt", "base.en", 0)),
        (names.failure_subject("tiny", "c", "j", 3), ("c", "j", "failure", "tiny", 3)),
    ],
)
def test_parsing_a_job_subject_undoes_making_it(subject: str, parsed: tuple[str, str, str, str, int | None]) -> None:
    assert names.parse_job_subject(subject) == parsed
    assert matches(subject, names.JOB_SUBJECTS)
    assert matches(subject, names.job_filter("c", "j"))
    assert not matches(subject, names.job_filter("c", "other"))


@pytest.mark.parametrize("kind", names.WORKER_KINDS)
def test_what_a_worker_writes_is_its_own_queues_and_its_jobs(kind: names.WorkerKind) -> None:
    make = {"window": names.window_result_subject, "attempt": names.attempt_subject, "failure": names.failure_subject}
    subject = make[kind]("base.en", "c", "j", 4)
    assert matches(subject, names.queue_written_filter(names.token("base.en"), kind))
    assert matches(subject, names.queue_written_filter("*", kind))
    assert not matches(subject, names.queue_written_filter(names.token("base"), kind))
    assert matches(subject, names.job_written_filter("c", "j", kind))
    assert not matches(subject, names.job_written_filter("c", "k", kind))


@pytest.mark.parametrize("model", ["base.en", "large-v3-turbo-q5_0"])
@pytest.mark.parametrize("class_", names.CLASSES)
def test_a_window_is_in_its_own_queue_and_in_no_other(model: str, class_: names.Class) -> None:
    subject = names.window_subject(model, class_, "c", "j", 4)
    queues = [(m, c) for m in ("base", "base.en", "large-v3-turbo-q5_0") for c in names.CLASSES]
    assert [queue for queue in queues if matches(subject, names.windows_filter(*queue))] == [(model, class_)]
    assert matches(subject, names.WINDOWS_SUBJECTS)
    assert matches(subject, names.job_windows_filter("c", "j"))
    assert not matches(subject, names.job_windows_filter("c", "k"))


def test_a_plan_is_found_by_its_job_whatever_its_class() -> None:
    for class_ in names.CLASSES:
        assert matches(names.plan_subject(class_, "c", "j"), names.job_plan_filter("c", "j"))


def test_every_journal_subject_is_in_the_journal() -> None:
    subjects = [names.record_subject("c", "j"), names.audio_subject("c", "j"), names.dead_subject("c", "j")]
    for subject in [*subjects, names.upload_subject("c", "ab12")]:
        assert any(matches(subject, journal) for journal in names.JOURNAL_SUBJECTS)


def test_a_dotted_name_is_one_token() -> None:
    assert names.token("base.en") == "base=en"
    assert len({names.token(name) for name in ("base.en", "base-en", "base_en")}) == 3


@pytest.mark.parametrize("name", ["", "a b", "a*", ">", "häßlich", "a/b", "base=en", "x" * 101])
def test_a_name_that_cannot_be_a_token_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="NATS subject"):
        names.token(name)


def test_an_idempotency_key_names_one_job_of_one_client() -> None:
    job = names.idempotent_job_id("c", "key")
    assert job == names.idempotent_job_id("c", "key")
    assert job not in (names.idempotent_job_id("d", "key"), names.idempotent_job_id("c", "key2"))
    # The two parts may not run into each other.
    assert names.idempotent_job_id("ab", "c") != names.idempotent_job_id("a", "bc")
    assert names.token(job) == job
