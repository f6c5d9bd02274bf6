"""Which changes of an object's conditions are told as Kubernetes Events."""

from datetime import UTC, datetime

import pytest
from whisper_server_objects import body

from whisper_operator.cluster import ApiError
from whisper_operator.events import MAX_MESSAGE_LENGTH, Happening, Recorder, event, happenings


def conditions(**given):
    return [
        {"type": type_, "status": str(holds), "reason": reason, "message": f"About {reason}."}
        for type_, (holds, reason) in given.items()
    ]


STARTING = conditions(Ready=(False, "Starting"), ModelCached=(True, "Cached"), Degraded=(False, "AsWanted"))
SERVING = conditions(Ready=(True, "Serving"), ModelCached=(True, "Cached"), Degraded=(False, "AsWanted"))
BROKEN = conditions(Ready=(False, "CrashLoop"), ModelCached=(True, "Cached"), Degraded=(True, "CrashLoop"))


def told(before, after):
    return [(each.reason, each.is_warning) for each in happenings(before, after)]


def test_nothing_is_told_where_only_messages_differ():
    assert told(SERVING, [condition | {"message": "2 of 3"} for condition in SERVING]) == []


def test_a_server_that_begins_to_serve_is_told_once():
    assert told(STARTING, SERVING) == [("Serving", False)]


def test_a_fault_is_one_warning_with_the_sentence_of_the_condition():
    assert happenings(SERVING, BROKEN) == [Happening("CrashLoop", "About CrashLoop.", is_warning=True)]


def test_a_template_that_gives_way_to_the_last_good_one_is_a_warning_of_its_own():
    failed = conditions(Ready=(True, "Serving"), Degraded=(True, "GoldenClipFailed"))
    rolling = [*failed, *conditions(Progressing=(True, "RollingOut"))]
    back = [*failed, *conditions(Progressing=(False, "RolledBack"))]
    assert told(rolling, back) == [("RolledBack", True)]
    assert told(back, back) == []


def test_a_fault_beside_pods_that_serve_on_is_a_warning():
    stuck = conditions(Ready=(True, "Serving"), Degraded=(True, "ProgressDeadlineExceeded"))
    assert told(SERVING, stuck) == [("ProgressDeadlineExceeded", True)]


def test_pods_that_all_go_without_a_fault_are_a_warning():
    assert told(SERVING, STARTING) == [("Starting", True)]


@pytest.mark.parametrize("reason", ["Suspended", "ScaledToZero"])
def test_what_somebody_asked_for_is_no_warning(reason):
    assert told(SERVING, conditions(Ready=(False, reason), Degraded=(False, "AsWanted"))) == [(reason, False)]


def test_the_end_of_a_download_is_told():
    loading = conditions(Ready=(False, "Downloading"), ModelCached=(False, "Downloading"), Degraded=(False, "AsWanted"))
    assert told([], loading) == [("Downloading", False)]
    assert told(loading, STARTING) == [("ModelCached", False), ("Starting", False)]


def test_a_client_that_is_not_registered_is_a_warning():
    assert told([], conditions(Ready=(False, "NameTaken"))) == [("NameTaken", True)]
    assert told([], conditions(Ready=(True, "Registered"))) == [("Registered", False)]


def test_an_event_is_about_the_object_that_it_names_and_fits():
    about = body(resourceVersion="9")
    made = event(about, Happening("Serving", "x" * 5000), datetime(2026, 1, 1, tzinfo=UTC))
    assert made["involvedObject"]["uid"] == about["metadata"]["uid"]
    assert made["metadata"]["namespace"] == about["metadata"]["namespace"]
    assert len(made["message"]) == MAX_MESSAGE_LENGTH
    assert made["firstTimestamp"] == "2026-01-01T00:00:00Z"


class Events:
    """The API server, as far as it takes events."""

    def __init__(self, refusal=None):
        self.written = []
        self._refusal = refusal

    async def create(self, resource, manifest):
        if self._refusal:
            raise self._refusal
        assert resource.kind == manifest["kind"]
        self.written.append((manifest["reason"], manifest["involvedObject"]["uid"]))
        return manifest


async def test_a_pod_that_crashes_again_and_again_is_news_once():
    events = Events()
    recorder = Recorder(events)
    for _ in range(3):
        await recorder.tell(body(resourceVersion="9"), Happening("CrashLoop", "It ended.", is_warning=True))
    await recorder.tell(body(uid="u-2", resourceVersion="9"), Happening("CrashLoop", "It ended.", is_warning=True))
    assert events.written == [("CrashLoop", "u-1"), ("CrashLoop", "u-2")]


async def test_an_event_that_cannot_be_written_stops_nothing():
    recorder = Recorder(Events(ApiError(403, "Forbidden", "no room for events")))
    await recorder.tell(body(resourceVersion="9"), Happening("Serving", "1 of 1."))
