"""Times at which more pods stay than the queue asks for, decided from the clock alone."""

from datetime import UTC, datetime

import pytest
from whisper_server_objects import body

from whisper_operator.crd.serving import Autoscaling
from whisper_operator.scaling import Load, needed_pods
from whisper_operator.schedules import least_pods, open_schedules
from whisper_operator.server import InvalidSpec, parse_server

OFFICE = {"name": "office", "start": "0 8 * * 1-5", "end": "0 18 * * 1-5", "timeZone": "Europe/Berlin"}
NIGHT = {"name": "night", "start": "0 22 * * *", "end": "30 5 * * *", "minReplicas": 3}


def autoscaling(*schedules, **given):
    wanted = [{"minReplicas": 2} | schedule for schedule in schedules]
    return Autoscaling.model_validate({"maxReplicas": 5, "schedules": wanted} | given)


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "pods"),
    [
        ("2026-01-05T06:59:59", 0),  # Monday, 7:59:59 in Berlin
        ("2026-01-05T07:00:00", 2),
        ("2026-01-05T16:59:59", 2),
        ("2026-01-05T17:00:00", 0),
        ("2026-01-10T12:00:00", 0),  # Saturday
        ("2026-07-06T06:00:00", 2),  # in summer Berlin is two hours ahead
        ("2026-07-06T16:00:00", 0),
    ],
)
def test_a_schedule_follows_the_clock_of_its_zone(at, pods):
    assert least_pods(autoscaling(OFFICE), utc(at)) == pods


@pytest.mark.parametrize(
    ("at", "is_open"),
    [
        ("2026-01-05T21:59:00", False),
        ("2026-01-05T22:00:30", True),
        ("2026-01-06T05:29:59", True),
        ("2026-01-06T05:30:00", False),
    ],
)
def test_a_schedule_may_last_over_midnight(at, is_open):
    assert bool(open_schedules(autoscaling(NIGHT).schedules, utc(at))) is is_open


@pytest.mark.parametrize(
    ("given", "at", "is_open"),
    [
        ({"end": "0 18 * * *"}, "2026-01-10T12:00:00", False),  # it ends on Saturdays too, and does not begin
        ({"start": "0 8,12 * * 1-5"}, "2026-01-05T10:00:00", True),  # it begins once more before it ends
        ({"end": "0 8,18 * * *"}, "2026-01-05T09:00:00", True),  # it begins and ends at once
    ],
)
def test_ends_and_beginnings_need_not_take_turns(given, at, is_open):
    assert bool(open_schedules(autoscaling(OFFICE | given).schedules, utc(at))) is is_open


@pytest.mark.parametrize("at", ["2026-03-29T00:59:00", "2026-03-29T01:00:00", "2026-10-25T00:30:00"])
def test_a_schedule_that_is_open_while_the_clocks_change_stays_open(at):
    over = {"name": "over", "start": "0 1 * * *", "end": "0 4 * * *", "timeZone": "Europe/Berlin"}
    assert least_pods(autoscaling(over), utc(at)) == 2


def test_of_several_schedules_and_the_least_the_most_count_up_to_the_maximum():
    both = utc("2026-01-05T23:00:00")
    evening = {"name": "evening", "start": "0 20 * * *", "end": "0 0 * * *", "minReplicas": 4}
    assert least_pods(autoscaling(NIGHT, evening), both) == 4
    assert least_pods(autoscaling(NIGHT, minReplicas=5), both) == 5
    assert least_pods(autoscaling(NIGHT, maxReplicas=2), both) == 2
    assert least_pods(autoscaling(minReplicas=1), both) == 1


def test_work_in_the_queue_adds_pods_to_those_of_the_schedule():
    at, spec = utc("2026-01-05T23:00:00"), autoscaling(NIGHT)
    assert needed_pods(spec, Load(), slots=1, at=at) == 3
    assert needed_pods(spec, Load(18, 0), slots=1, at=at) == 5


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"start": "61 8 * * *"}, r"'61 8 \* \* \*' is no cron expression"),
        ({"end": "0 0 30 2 *"}, "is no cron expression"),
        ({"start": "0 8 * *"}, "start"),
        ({"timeZone": "Europe/Atlantis"}, "'Europe/Atlantis' is no time zone"),
        ({"timeZone": "Europe"}, "'Europe' is no time zone"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_told_by_its_field(wrong, words):
    schedule = {"minReplicas": 2} | OFFICE | wrong
    with pytest.raises(InvalidSpec, match=words) as refusal:
        parse_server(body({"autoscaling": {"maxReplicas": 3, "schedules": [schedule]}}))
    assert "spec.autoscaling.schedules.0." in str(refusal.value)
