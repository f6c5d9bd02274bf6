"""How many pods the queue needs, decided from loads and times alone."""

from datetime import UTC, datetime

import pytest

from whisper_operator.crd.serving import Autoscaling
from whisper_operator.scaling import Load, Needs, is_news, needed_pods, scaled

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def autoscaling(**given):
    return Autoscaling(**({"max_replicas": 5, "pending_windows_per_replica": 4} | given))


@pytest.mark.parametrize(
    ("load", "pods"),
    [(Load(), 0), (Load(1, 0), 1), (Load(4, 0), 1), (Load(5, 0), 2), (Load(3, 2), 2), (Load(100, 0), 5)],
)
def test_each_pod_stands_for_so_many_windows_waiting_or_running(load, pods):
    assert needed_pods(autoscaling(), load, slots=1, at=NOW) == pods


def test_pods_with_a_running_window_are_needed_however_little_waits():
    assert needed_pods(autoscaling(pending_windows_per_replica=100), Load(0, 3), slots=1, at=NOW) == 3
    assert needed_pods(autoscaling(pending_windows_per_replica=100), Load(0, 3), slots=2, at=NOW) == 2


def test_there_are_never_fewer_than_the_least():
    assert needed_pods(autoscaling(min_replicas=2), Load(), slots=1, at=NOW) == 2


def decided(spec, loads, current, slots=1):
    """loads: seconds → load, of which the last is now."""
    needs = Needs(since_s=next(iter(loads)))
    keep_s = max(spec.scale_up_delay_seconds, spec.scale_down_delay_seconds)
    for at_s, load in loads.items():
        needs.add(at_s, needed_pods(spec, load, slots, NOW), keep_s)
    return scaled(spec, needs, at_s, current)


def test_without_a_delay_pods_are_added_at_once():
    assert decided(autoscaling(), {0.0: Load(12, 0)}, current=0) == 3


def test_a_short_peak_adds_no_pod_where_a_delay_is_wished_for():
    spec = autoscaling(scale_up_delay_seconds=10)
    assert decided(spec, {0.0: Load(), 20.0: Load(12, 0), 25.0: Load(12, 0)}, current=0) == 0
    assert decided(spec, {0.0: Load(), 20.0: Load(12, 0), 30.5: Load(12, 0)}, current=0) == 3


def test_pods_go_once_fewer_have_been_enough_for_the_delay():
    spec = autoscaling(scale_down_delay_seconds=60)
    assert decided(spec, {0.0: Load(12, 0), 10.0: Load(), 50.0: Load()}, current=3) == 3
    assert decided(spec, {0.0: Load(12, 0), 10.0: Load(), 71.0: Load()}, current=3) == 0


def test_a_pause_shorter_than_the_delay_keeps_the_pods():
    spec = autoscaling(scale_down_delay_seconds=60)
    loads = {0.0: Load(12, 0), 10.0: Load(), 60.0: Load(8, 0), 75.0: Load()}
    assert decided(spec, loads, current=3) == 3 - 1


def test_an_operator_that_has_just_started_takes_no_pod_away_before_the_delay_is_over():
    spec = autoscaling(scale_down_delay_seconds=60)
    assert decided(spec, {0.0: Load(), 59.0: Load()}, current=3) == 3
    assert decided(spec, {0.0: Load(), 60.0: Load()}, current=3) == 0


def test_the_status_tells_a_load_when_work_comes_or_ends_and_else_now_and_then():
    assert is_news(None, Load(), 0, 0)
    assert is_news(Load(), Load(1, 0), 0, 1)
    assert not is_news(Load(1, 0), Load(2, 0), 0, 1)
    assert is_news(Load(1, 0), Load(2, 0), 0, 20)
    assert not is_news(Load(2, 0), Load(2, 0), 0, 20)
    assert is_news(Load(2, 0), Load(), 0, 1)
