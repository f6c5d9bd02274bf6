"""Who may take a Lease, and what is written then."""

import pytest

from whisper_operator.lease import Sighting, Timing, holder, may_take, released, sighted, taken

TIMING = Timing()
PLACE = ("platform", "operator")
AT, LATER = "2026-01-01T00:00:00.000000Z", "2026-01-01T00:00:02.000000Z"


def stored(lease, version):
    """As the API server answers."""
    return lease | {"metadata": lease["metadata"] | {"uid": "l-1", "resourceVersion": str(version)}}


def held_by(me="a", version=1, lease=None, at=AT):
    return stored(taken(lease, PLACE, me, TIMING, at), version)


def test_a_lease_that_is_not_there_or_that_nobody_holds_may_be_taken():
    assert may_take(Sighting(None, 0.0), "b", 0.0, TIMING)
    assert may_take(Sighting(released(held_by(), AT), 0.0), "b", 0.0, TIMING)


def test_an_earlier_run_of_the_same_pod_holds_nothing_any_more():
    assert may_take(Sighting(held_by("a"), 0.0), "a", 0.0, TIMING)


def test_a_lease_may_be_taken_once_it_has_not_changed_for_its_whole_duration():
    sighting = sighted(None, held_by(version=1), 100.0)
    unchanged = sighted(sighting, held_by(version=1), 111.0)
    assert not may_take(unchanged, "b", 111.9, TIMING)
    assert may_take(unchanged, "b", 112.0, TIMING)


def test_a_renewal_starts_the_time_again():
    sighting = sighted(sighted(None, held_by(version=1), 100.0), held_by(version=2), 111.0)
    assert not may_take(sighting, "b", 122.9, TIMING)
    assert may_take(sighting, "b", 123.0, TIMING)


def test_the_duration_is_the_one_that_the_holder_promised():
    lease = held_by()
    lease["spec"]["leaseDurationSeconds"] = 60
    assert not may_take(Sighting(lease, 0.0), "b", 59.0, TIMING)
    assert may_take(Sighting(lease, 0.0), "b", 60.0, TIMING)


def test_times_in_the_lease_decide_nothing():
    assert not may_take(sighted(None, held_by(at="1999-01-01T00:00:00.000000Z"), 5.0), "b", 6.0, TIMING)


def test_a_renewal_keeps_when_it_was_taken_and_another_holder_is_a_transition():
    first = held_by("a")
    renewed = taken(first, PLACE, "a", TIMING, LATER)
    assert (renewed["spec"]["acquireTime"], renewed["spec"]["renewTime"]) == (AT, LATER)
    assert renewed["spec"]["leaseTransitions"] == first["spec"]["leaseTransitions"]
    other = taken(first, PLACE, "b", TIMING, LATER)
    assert (other["spec"]["acquireTime"], holder(other)) == (LATER, "b")
    assert other["spec"]["leaseTransitions"] == first["spec"]["leaseTransitions"] + 1
    assert other["metadata"]["resourceVersion"] == "1"


def test_what_is_released_has_no_holder_and_is_still_the_version_that_was_seen():
    found = released(held_by(version=7), LATER)
    assert holder(found) is None and "holderIdentity" not in found["spec"]
    assert found["metadata"]["resourceVersion"] == "7"


@pytest.mark.parametrize("timing", [Timing()])
def test_a_holder_stops_well_before_others_may_start(timing):
    tries = timing.renew_s + 2 * timing.look_s
    assert tries < timing.stops_s < timing.expires_s
    assert timing.expires_s + 2 * timing.look_s <= 15
