"""Which template runs: the wanted one, or the last good one where the wanted one failed its golden clip."""

import json

import pytest
from single_operator import Operator, finish_download
from strict_cluster import StrictCluster
from whisper_server_objects import body, pod, server

from whisper_operator.observed import Observed
from whisper_operator.rollouts import (
    REFUSED_ANNOTATION,
    TEMPLATE_ANNOTATION,
    Refusal,
    Rollout,
    Template,
    decide,
    refusal_note,
    remembered,
    revision,
    stamped,
)

SERVER = server()
READY = [{"type": "Ready", "status": "True"}]


def template(image, queue="demo.en"):
    return Template(stamped({"metadata": {}, "spec": {"containers": [{"image": image}]}}), queue)


OLD, NEW = template("worker:1"), template("worker:2")


def made_from(made, *, name="demo-1", said=None, ready=False, **metadata):
    """A pod of that template; said: the last line of its worker, which has ended."""
    ended = {"exitCode": 1, "message": json.dumps(said)} if said else None
    state = {"lastState": {"terminated": ended}} if ended else {}
    container = {"name": "worker", "image": "", "restartCount": 1, "ready": ready} | state
    annotations = {TEMPLATE_ANNOTATION: made.hash}
    return pod(
        name=name, conditions=READY if ready else (), containers=[container], annotations=annotations, **metadata
    )


def misheard(made, **metadata):
    return made_from(made, said={"reason": "golden_clip", "error": "It heard 'a' instead of 'b'."}, **metadata)


def decided(pods=(), *, wanted=NEW, good=OLD, noted=None, takes_pods_first=True):
    children = [revision(SERVER, good)] if good else []
    children.append({"kind": "Deployment", "metadata": {"name": "demo", "annotations": refusal_note(noted)}})
    return decide(SERVER, wanted, Observed.of(children, pods), takes_pods_first=takes_pods_first)


def test_a_template_that_is_not_yet_judged_is_tried():
    assert decided([made_from(NEW)]) == Rollout(NEW.content, good=OLD)
    assert decided([made_from(NEW)], good=None) == Rollout(NEW.content)


def test_a_template_is_good_once_a_pod_of_it_is_ready():
    assert decided([made_from(NEW, ready=True)]) == Rollout(NEW.content, good=NEW)
    assert decided([made_from(OLD, ready=True)]) == Rollout(NEW.content, good=OLD)


def test_a_template_whose_text_is_wrong_gives_way_to_the_last_good_one():
    found = decided([misheard(NEW)])
    assert (found.template, found.good) == (OLD.content, OLD)
    assert found.refusal.template == NEW.hash
    assert (found.refusal.reason, "instead of 'b'" in found.refusal.message) == ("GoldenClipFailed", True)


@pytest.mark.parametrize(
    ("reason", "gives_way"),
    [("cpu_fallback", True), ("server_failed", True), ("not_a_model", True), ("other", False)],
)
def test_only_the_workers_own_verdict_counts_as_a_failed_trial(reason, gives_way):
    found = decided([made_from(NEW, said={"reason": reason, "error": "no"})])
    assert (found.template == OLD.content) is gives_way


def test_a_verdict_is_found_beside_another_fault():
    waiting = made_from(NEW, name="demo-0")
    waiting["status"]["containerStatuses"][0]["state"] = {"waiting": {"reason": "ErrImagePull"}}
    assert decided([waiting, misheard(NEW)]).refusal is not None


def test_where_new_pods_come_first_the_old_ones_serve_and_nothing_goes_back():
    assert decided([misheard(NEW), made_from(OLD, ready=True)], takes_pods_first=False) == Rollout(NEW.content, OLD)


def test_the_failure_of_an_old_template_says_nothing_of_the_wanted_one():
    assert decided([misheard(OLD)]) == Rollout(NEW.content, good=OLD)


def test_a_pod_that_goes_says_nothing_any_more():
    assert decided([misheard(NEW, deletionTimestamp="2026-01-01T00:00:00Z")]).refusal is None
    gone = made_from(NEW, ready=True, deletionTimestamp="2026-01-01T00:00:00Z")
    assert decided([gone]).good == OLD


def test_without_a_good_template_there_is_nothing_to_go_back_to():
    assert decided([misheard(NEW)], good=None) == Rollout(NEW.content)


def test_a_good_template_that_fails_later_stays():
    assert decided([misheard(NEW)], good=NEW) == Rollout(NEW.content, good=NEW)


def test_the_template_of_another_queue_is_not_gone_back_to():
    other = template("worker:1", queue="tiny.en")
    assert decided([misheard(NEW)], good=other) == Rollout(NEW.content, good=other)


def test_a_refused_template_stays_refused_when_its_pods_are_gone_and_the_operator_is_another():
    refusal = decided([misheard(NEW)]).refusal
    assert decided([made_from(OLD, ready=True)], noted=refusal) == Rollout(OLD.content, OLD, refusal)


def test_another_change_is_tried_again():
    third = template("worker:3")
    refusal = Refusal(NEW.hash, "GoldenClipFailed", "It heard 'a'.")
    assert decided([made_from(OLD, ready=True)], wanted=third, noted=refusal) == Rollout(third.content, good=OLD)


def test_of_two_remembered_templates_the_wanted_one_counts_else_the_newest():
    first, second = revision(SERVER, OLD), revision(SERVER, NEW)
    first["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    second["metadata"]["creationTimestamp"] = "2026-01-02T00:00:00Z"
    seen = Observed.of([second, first])
    assert remembered(seen, OLD.hash) == OLD
    assert remembered(seen, "another") == NEW


class Cluster(StrictCluster):
    """With pods as the Deployment controller and the kubelet would have them."""

    def run(self, *, heard_right):
        made = Template(self.live("Deployment")["spec"]["template"], "")
        found = made_from(made, ready=True) if heard_right else misheard(made)
        found["metadata"]["labels"]["app.kubernetes.io/instance"] = "demo"
        self.logs["demo-1"] = '{"event": "whisper-server ready", "backend": "cpu"}\n'
        found["status"]["containerStatuses"][0] |= {"state": {"running": {}}, "containerID": "c"} if heard_right else {}
        self.objects["Pod", "speech", "demo-1"] = found
        replicas = {"replicas": 1, "updatedReplicas": 1} | ({"readyReplicas": 1} if heard_right else {})
        seen = {"observedGeneration": self.live("Deployment")["metadata"]["generation"]}
        self.live("Deployment")["status"] = replicas | seen

    def live(self, kind, name="demo"):
        return self.objects[kind, "speech", name]

    def edit(self, **spec):
        live = self.live("WhisperServer")
        self.hold(live | {"spec": live["spec"] | spec})

    def image(self):
        return self.live("Deployment")["spec"]["template"]["spec"]["containers"][0]["image"]


async def looked_at(cluster):
    """By an operator that knows only what the cluster tells it, until there is nothing left to do."""
    operator = Operator(cluster)
    for _ in range(5):
        if not await operator.reconcile():
            return operator
        operator.look()
    raise AssertionError("it never comes to rest")


async def test_a_bad_image_is_rolled_back_told_and_tried_again_after_the_next_change():
    cluster = Cluster()
    cluster.hold(body({"image": "worker:1"}))
    await looked_at(cluster)
    finish_download(cluster)
    await looked_at(cluster)
    cluster.run(heard_right=True)
    await looked_at(cluster)
    assert [name for kind, _, name in cluster.objects if kind == "ControllerRevision"]

    cluster.edit(image="worker:2")
    await looked_at(cluster)
    assert cluster.image() == "worker:2"
    cluster.run(heard_right=False)
    await looked_at(cluster)
    assert cluster.image() == "worker:1"
    cluster.run(heard_right=True)
    operator = await looked_at(cluster)
    assert cluster.image() == "worker:1"
    told = operator.conditions()
    assert (told["Ready"], told["Degraded"]) == (("True", "Serving"), ("True", "GoldenClipFailed"))
    assert told["Progressing"] == ("False", "RolledBack")
    conditions = {each["type"]: each["message"] for each in cluster.live("WhisperServer")["status"]["conditions"]}
    assert "instead of 'b'" in conditions["Degraded"] and "image worker:1" in conditions["Degraded"]

    cluster.edit(image="worker:3")
    await looked_at(cluster)
    assert cluster.image() == "worker:3"
    assert REFUSED_ANNOTATION not in cluster.live("Deployment")["metadata"]["annotations"]
    cluster.run(heard_right=True)
    operator = await looked_at(cluster)
    assert operator.conditions()["Degraded"] == ("False", "AsWanted")
    (kept,) = [live for live in cluster.objects.values() if live["kind"] == "ControllerRevision"]
    assert kept["data"]["template"]["spec"]["containers"][0]["image"] == "worker:3"
