"""What has to be written so that a server's children are as wanted."""

import copy

import pytest
from whisper_server_objects import complete_job, server, settings

from whisper_operator.changes import Apply, Delete, changes, waves
from whisper_operator.children import desired_children
from whisper_operator.differs import first_difference, with_hash
from whisper_operator.observed import Observed
from whisper_operator.volume import model_volume


def wanted(found, observed=None):
    return desired_children(found, model_volume(found), observed or Observed.of([]), settings())


def living(manifests):
    """As the API server answers: with defaults and a status of its own."""
    found = [copy.deepcopy(with_hash(manifest)) for manifest in manifests]
    for number, live in enumerate(found):
        live["metadata"] |= {"uid": f"c-{number}", "resourceVersion": "1"}
        live.setdefault("spec", {})["defaulted"] = True
        live["status"] = {"observedGeneration": 1}
    return found


def planned(found, live, compare=first_difference):
    observed = Observed.of(live)
    return changes(found, wanted(found, observed), observed, compare)


def test_a_new_server_gets_every_child_once_and_the_claim_before_the_download():
    found = server()
    first, rest = waves(planned(found, []))
    assert [change.manifest["kind"] for change in first] == ["PersistentVolumeClaim"]
    assert {change.manifest["kind"] for change in rest} == {
        "Secret",
        "Service",
        "Job",
        "NetworkPolicy",
        "Deployment",
    }
    assert not any(change.force for change in (*first, *rest))


def test_children_that_are_as_wanted_are_left_alone():
    found = server()
    assert planned(found, living(wanted(found))) == []


def test_a_change_by_somebody_else_is_taken_back_and_named():
    found = server()
    live = living(wanted(found))
    service = next(each for each in live if each["kind"] == "Service")
    service["spec"]["selector"] = {"app": "other"}
    (change,) = planned(found, live)
    assert isinstance(change, Apply) and change.force
    assert change.manifest["kind"] == "Service" and "spec.selector" in change.why


def test_what_the_api_server_writes_its_own_way_is_not_written_again_and_again():
    found = server()
    live = living(wanted(found))
    next(each for each in live if each["kind"] == "Service")["spec"]["clusterIP"] = "none"
    assert [change.why for change in planned(found, live)] == ["spec.clusterIP was changed"]
    assert planned(found, live, compare=lambda *_: None) == []


def test_a_deleted_child_comes_again_and_one_that_is_going_is_waited_for():
    found = server()
    live = living(wanted(found))
    (change,) = planned(found, [each for each in live if each["kind"] != "Secret"])
    assert change.manifest["kind"] == "Secret" and change.why == "missing"
    next(each for each in live if each["kind"] == "Secret")["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert planned(found, live) == []


@pytest.mark.parametrize("kind", ["NetworkPolicy", "Job"])
def test_what_is_no_longer_wanted_goes(kind):
    before = server()
    given = {"model": {"claim": {"name": "given", "path": "m.bin"}}, "queue": {"name": "x"}}
    after = server(given | {"networkPolicy": {"enabled": False}})
    deleted = [change for change in planned(after, living(wanted(before))) if isinstance(change, Delete)]
    assert kind in {change.live["kind"] for change in deleted}


def test_a_claim_is_never_deleted_and_a_class_that_the_cluster_chose_is_no_change():
    found = server()
    live = living(wanted(found))
    claim = next(each for each in live if each["kind"] == "PersistentVolumeClaim")
    claim["spec"]["storageClassName"] = "standard"
    assert planned(found, live) == []
    given = server({"model": {"claim": {"name": "given", "path": "m.bin"}}, "queue": {"name": "x"}})
    assert not [
        change
        for change in planned(given, live)
        if isinstance(change, Delete) and change.live["kind"] == "PersistentVolumeClaim"
    ]


def test_a_download_into_a_claim_that_is_gone_is_done_again():
    found = server()
    done = complete_job(found)
    live = [each for each in living(wanted(found)) if each["kind"] != "Job"]
    claim = next(each for each in live if each["kind"] == "PersistentVolumeClaim")
    claim["metadata"]["creationTimestamp"] = done["status"]["startTime"]
    assert not [change for change in planned(found, [*live, done]) if isinstance(change, Delete)]
    claim["metadata"]["creationTimestamp"] = "2026-01-01T00:00:01Z"
    assert [change.live["kind"] for change in planned(found, [*live, done]) if isinstance(change, Delete)] == ["Job"]
