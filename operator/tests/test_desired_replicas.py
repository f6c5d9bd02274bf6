"""How many pods there are before a model is there, and while another is fetched."""

import pytest
from whisper_server_objects import CREATED, LATER, NOTHING, children, complete_job, pod, server

from whisper_operator.children.worker_pod import queue_name
from whisper_operator.observed import Observed
from whisper_operator.rollouts import Template, revision


def test_no_pod_starts_before_its_model_is_there():
    assert (
        children({"cache": {"accessMode": "ReadWriteMany"}, "replicas": 3}, NOTHING)["Deployment"]["spec"]["replicas"]
        == 0
    )


def a_deployment(replicas):
    return {"kind": "Deployment", "metadata": {"name": "demo"}, "spec": {"replicas": replicas}}


def remembered(spec=None):
    """What pods of that spec were ready with."""
    found = server(spec)
    wanted = Template(children(spec)["Deployment"]["spec"]["template"], queue_name(found))
    return revision(found, wanted), wanted.content


def test_a_deployment_scaled_by_hand_gets_no_pods_before_its_model_is_there():
    assert children(observed=Observed.of([a_deployment(3)]))["Deployment"]["spec"]["replicas"] == 0


def test_pods_that_were_ready_while_no_operator_ran_stay_while_another_model_is_fetched():
    ready = pod(conditions=[{"type": "Ready", "status": "True"}])
    assert "Deployment" not in children(observed=Observed.of([a_deployment(1)], [ready]))


def test_the_pods_of_another_queue_stay_while_another_model_is_fetched():
    good, _ = remembered({"queue": {"name": "other"}})
    assert "Deployment" not in children(observed=Observed.of([good, a_deployment(1)]))


@pytest.mark.parametrize("live", [0, 1])
def test_the_old_model_serves_in_as_many_pods_as_are_wanted_while_another_is_fetched(live):
    good, template = remembered()
    edit = {"model": {"name": "tiny.en"}, "queue": {"name": "demo.en"}, "replicas": 3, "cache": {"mode": "PerServer"}}
    edit["cache"]["accessMode"] = "ReadWriteMany"
    made = children(edit, Observed.of([good, a_deployment(live)]))
    assert (made["Deployment"]["spec"]["replicas"], made["Deployment"]["spec"]["template"]) == (3, template)
    assert made["ControllerRevision"]["metadata"]["name"] == good["metadata"]["name"]


def test_a_suspended_server_loses_its_pods_even_while_another_model_is_fetched():
    assert children({"suspend": True}, Observed.of([a_deployment(1)]))["Deployment"]["spec"]["replicas"] == 0


def test_a_download_into_a_claim_that_is_gone_does_not_count():
    claim = {
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "demo-model", "creationTimestamp": LATER},
        "spec": {},
    }
    claim["spec"]["resources"] = {"requests": {"storage": "1Gi"}}
    seen = Observed.of([complete_job(server(), creationTimestamp=CREATED), claim])
    assert children(observed=seen)["Deployment"]["spec"]["replicas"] == 0
