"""A whole reconcile of a WhisperServer, against an API server that is as strict as the real one."""

import asyncio

import pytest
from single_operator import Operator, finish_download
from strict_cluster import StrictCluster
from whisper_server_objects import body

from whisper_operator.cluster import ApiError
from whisper_operator.working import NotAsWanted

CHILDREN = ("Deployment", "Job", "NetworkPolicy", "PersistentVolumeClaim", "Secret", "Service")


@pytest.fixture
def cluster():
    made = StrictCluster()
    made.hold(body())
    return made


@pytest.fixture
def operator(cluster):
    return Operator(cluster)


def kinds(writes, method):
    return sorted(kind for each, kind, _ in writes if each == method)


async def test_a_new_server_gets_its_children_and_a_status(operator):
    written = await operator.reconcile()
    assert kinds(written, "apply") == list(CHILDREN)
    assert operator.conditions()["Ready"] == ("False", "DownloadPending")


async def test_a_second_look_writes_nothing_and_neither_does_another_operator(operator, cluster):
    await operator.reconcile()
    assert await operator.reconcile() == []
    assert await Operator(cluster).reconcile() == []


async def test_the_claim_is_there_before_the_download_that_fills_it(operator):
    order = [kind for method, kind, _ in await operator.reconcile() if method == "apply"]
    assert order.index("PersistentVolumeClaim") < order.index("Job")


async def test_pods_are_started_once_the_model_is_there(operator, cluster):
    await operator.reconcile()
    assert cluster.objects["Deployment", "speech", "demo"]["spec"]["replicas"] == 0
    finish_download(cluster)
    operator.look()
    assert kinds(await operator.reconcile(), "apply") == ["Deployment"]
    assert cluster.objects["Deployment", "speech", "demo"]["spec"]["replicas"] == 1
    assert operator.conditions()["ModelCached"] == ("True", "Cached")


async def test_a_field_that_somebody_changed_is_put_back_with_one_write(operator, cluster):
    await operator.reconcile()
    cluster.objects["Service", "speech", "demo"]["spec"]["selector"] = {"other": "pods"}
    operator.look()
    assert await operator.reconcile() == [("apply", "Service", "demo")]
    assert cluster.objects["Service", "speech", "demo"]["spec"]["selector"] != {"other": "pods"}


async def test_a_field_that_was_as_wanted_before_is_put_back_too(operator, cluster):
    await operator.reconcile()
    operator.look()
    assert await operator.reconcile() == []
    live = cluster.objects["Service", "speech", "demo"]
    cluster.hold(live | {"spec": live["spec"] | {"selector": {"other": "pods"}}})
    operator.look()
    assert await operator.reconcile() == [("apply", "Service", "demo")]


async def test_a_server_counts_as_settled_only_while_its_children_are_as_wanted(operator, cluster):
    assert operator.reconciler.settled == set()
    await operator.reconcile()
    assert operator.reconciler.settled == {("speech", "demo")}
    del cluster.objects["Service", "speech", "demo"]
    cluster.refusals["Service"] = ApiError(403, "Forbidden", "exceeded quota: services.")
    operator.look()
    with pytest.raises(NotAsWanted):
        await operator.reconcile()
    assert operator.reconciler.settled == set()


async def test_a_child_that_is_no_longer_wanted_goes(operator, cluster):
    await operator.reconcile()
    spec = {"model": {"name": "demo.en"}, "networkPolicy": {"enabled": False}}
    cluster.hold(cluster.objects["WhisperServer", "speech", "demo"] | {"spec": spec})
    operator.look()
    assert ("delete", "NetworkPolicy") in [(method, kind) for method, kind, _ in await operator.reconcile()]
    operator.look()
    assert await operator.reconcile() == []


async def test_a_download_whose_template_may_not_change_is_made_anew(operator, cluster):
    await operator.reconcile()
    live = cluster.objects["WhisperServer", "speech", "demo"]
    cluster.hold(live | {"spec": live["spec"] | {"nodeSelector": {"disk": "fast"}}})
    operator.look()
    written = await operator.reconcile()
    assert "Job" in kinds(written, "delete")
    operator.look()
    assert kinds(await operator.reconcile(), "apply") == ["Job"]


async def test_a_child_of_somebody_else_is_left_alone_and_named(operator, cluster):
    theirs = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "demo", "namespace": "speech"}}
    cluster.hold(theirs | {"spec": {"clusterIP": "10.0.0.1"}})
    with pytest.raises(NotAsWanted):
        await operator.reconcile()
    assert cluster.objects["Service", "speech", "demo"]["spec"] == {"clusterIP": "10.0.0.1"}
    assert operator.conditions()["Degraded"] == ("True", "NameTaken")


async def test_somebodys_secret_of_the_same_name_is_left_alone_though_no_field_conflicts(operator, cluster):
    theirs = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "demo-nats", "namespace": "speech"}}
    cluster.hold(theirs | {"type": "Opaque", "data": {"token": "c2VjcmV0"}})
    with pytest.raises(NotAsWanted):
        await operator.reconcile()
    live = cluster.objects["Secret", "speech", "demo-nats"]
    assert (live["data"], live["metadata"].get("ownerReferences")) == ({"token": "c2VjcmV0"}, None)
    assert operator.conditions()["Degraded"] == ("True", "NameTaken")


async def test_a_child_that_somebody_labelled_as_theirs_is_ours_all_the_same(operator, cluster):
    await operator.reconcile()
    live = cluster.objects["Service", "speech", "demo"]
    labels = live["metadata"]["labels"] | {"app.kubernetes.io/managed-by": "Helm"}
    cluster.hold(live | {"metadata": live["metadata"] | {"labels": labels}})
    operator.store.remove(live)  # the informers see what has our label
    assert set(await operator.reconcile()) == {("apply", "Service", "demo")}
    assert cluster.objects["Service", "speech", "demo"]["metadata"]["labels"] == live["metadata"]["labels"]
    assert await operator.reconcile() == []


async def test_a_refused_child_is_told_while_the_others_are_made(operator, cluster):
    cluster.refusals["PersistentVolumeClaim"] = ApiError(403, "Forbidden", "exceeded quota: storage.")
    with pytest.raises(NotAsWanted, match="exceeded quota"):
        await operator.reconcile()
    assert operator.conditions()["Degraded"] == ("True", "Forbidden")
    assert ("Deployment", "speech", "demo") in cluster.objects
    cluster.refusals.clear()
    operator.look()
    await operator.reconcile()
    assert operator.conditions()["Degraded"][0] == "False"


@pytest.mark.parametrize(
    ("refusal", "told"),
    [
        (ApiError(403, "Forbidden", "exceeded quota"), "may not be written: exceeded quota. Check quotas"),
        (
            ApiError(422, "Invalid", "spec.replicas: too many"),
            "was refused: spec.replicas: too many. Correct the field",
        ),
    ],
)
async def test_a_refused_child_is_told_with_its_namespace_and_what_to_do(operator, cluster, refusal, told):
    cluster.refusals["Deployment"] = refusal
    with pytest.raises(NotAsWanted):
        await operator.reconcile()
    assert f"The Deployment demo in speech {told}" in operator.condition("Degraded")["message"]
    operator.look()
    with pytest.raises(NotAsWanted):
        await operator.reconcile()
    assert cluster.writes == [("apply", "Deployment", "demo")]


async def test_a_namespace_that_goes_is_no_fault(operator, cluster):
    for kind in CHILDREN:
        cluster.refusals[kind] = ApiError(403, "Forbidden", "namespace speech is being terminated")
    await operator.reconcile()
    assert operator.conditions()["Degraded"] == ("False", "AsWanted")


async def test_a_server_deleted_meanwhile_is_no_fault(operator, cluster):
    del cluster.objects["WhisperServer", "speech", "demo"]
    await operator.reconcile()


@pytest.mark.parametrize("anew", [False, True], ids=["gone", "made anew"])
async def test_a_server_deleted_while_its_status_is_answered_does_not_come_back(operator, cluster, anew):
    key, answered = ("speech", "demo"), cluster.merge_status
    newer = body(uid="u-9") | {"spec": {"model": {"name": "base.en"}}}

    async def answered_late(*given):
        answer = await answered(*given)
        operator.reconciler.forget(key)
        if anew:
            operator.reconciler.see(newer | {"metadata": newer["metadata"] | {"resourceVersion": "1"}})
        return answer

    cluster.merge_status = answered_late
    await operator.reconcile()
    assert [known["metadata"]["uid"] for known in operator.reconciler.servers.values()] == ["u-9"] * anew
    assert key not in operator.reconciler.settled or anew


async def test_a_server_that_is_going_gets_nothing_more(operator, cluster):
    cluster.objects["WhisperServer", "speech", "demo"]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    operator.look()
    assert await operator.reconcile() == []


async def test_a_spec_that_cannot_be_read_is_told_and_nothing_is_touched(operator, cluster):
    await operator.reconcile()
    live = cluster.objects["WhisperServer", "speech", "demo"]
    cluster.hold(live | {"spec": live["spec"] | {"slots": "many"}})
    operator.look()
    written = await operator.reconcile()
    assert {method for method, _, _ in written} == {"status", "create"}
    assert operator.conditions()["Ready"] == ("False", "InvalidSpec")
    operator.look()
    assert await operator.reconcile() == []


async def test_the_second_model_on_a_queue_is_refused_until_the_first_is_gone(operator, cluster):
    other = {"model": {"name": "tiny.en"}, "queue": {"name": "demo.en"}}
    cluster.hold(body(other, name="late", uid="u-2"))
    cluster.objects["WhisperServer", "speech", "late"]["metadata"]["creationTimestamp"] = "2026-02-01T00:00:00Z"
    operator.look()
    await operator.reconcile()
    assert kinds(await operator.reconcile("late"), "apply") == []
    assert operator.conditions("late")["Ready"] == ("False", "QueueTaken")
    operator.reconciler.forget(("speech", "demo"))
    assert ("speech", "late") in operator.again
    assert kinds(await operator.reconcile("late"), "apply")


def hold_another(cluster, **queue):
    """Younger, and of the same model."""
    cluster.hold(body({"queue": queue}, name="late", uid="u-2"))
    cluster.objects["WhisperServer", "speech", "late"]["metadata"]["creationTimestamp"] = "2026-02-01T00:00:00Z"


def edit(cluster, name, **spec):
    live = cluster.objects["WhisperServer", "speech", name]
    created = live["metadata"]["creationTimestamp"]
    cluster.hold(live | {"spec": live["spec"] | spec})
    cluster.objects["WhisperServer", "speech", name]["metadata"]["creationTimestamp"] = created


async def test_a_server_whose_queue_an_older_one_moves_to_loses_its_login_and_its_pods(operator, cluster):
    hold_another(cluster, name="other", languages=["en"])
    operator.look()
    await operator.reconcile()
    await operator.reconcile("late")
    edit(cluster, "demo", model={"name": "tiny.en"}, queue={"name": "other"})
    operator.look()
    await operator.reconcile()
    assert ("speech", "late") in operator.again
    assert kinds(await operator.reconcile("late"), "delete") == ["Deployment", "Secret"]
    assert operator.conditions("late")["Ready"] == ("False", "QueueTaken")
    operator.look()
    assert await operator.reconcile("late") == []
    edit(cluster, "demo", queue={"name": "mine"})
    operator.look()
    await operator.reconcile()
    assert kinds(await operator.reconcile("late"), "apply") == ["Deployment", "Secret"]


async def test_two_servers_that_change_their_model_together_keep_their_pods_whichever_is_looked_at_first(
    operator, cluster
):
    hold_another(cluster)
    operator.look()
    await operator.reconcile()
    await operator.reconcile("late")
    for name in ("demo", "late"):
        edit(cluster, name, model={"name": "tiny.en"}, queue={"name": "demo.en"})
    operator.look()
    assert kinds(await operator.reconcile("late"), "delete") == ["Job"]
    assert operator.conditions("late")["Ready"][1] != "QueueTaken"


async def test_events_tell_what_happened_and_never_at_rest(operator, cluster):
    written = await operator.reconcile()
    assert kinds(written, "create") == ["Event"]
    await asyncio.sleep(0)
    assert kinds(await operator.reconcile(), "create") == []


async def test_a_namespace_that_was_not_given_the_queue_gets_no_login_and_no_pods(cluster):
    operator = Operator(cluster, queue_grants={"other": ["*"], "speech": ["speech-*"]})
    written = await operator.reconcile()
    assert {method for method, _, _ in written} == {"status", "create"}
    assert operator.conditions()["Ready"] == ("False", "QueueNotAllowed")
    assert operator.reconciler.keeper.uses.queues() == set()
    operator.look()
    assert await operator.reconcile() == []


async def test_a_permission_that_goes_takes_the_login_and_the_pods_and_leaves_the_model(cluster):
    operator = Operator(cluster)
    await operator.reconcile()
    finish_download(cluster)
    operator.look()
    await operator.reconcile()
    denying = Operator(cluster, queue_grants={})
    written = await denying.reconcile()
    assert kinds(written, "delete") == ["Deployment", "Secret"]
    assert denying.conditions()["Ready"] == ("False", "QueueNotAllowed")
    assert cluster.objects["WhisperServer", "speech", "demo"]["status"]["readyReplicas"] == 0
    left = {kind for kind, _, _ in cluster.objects}
    assert {"PersistentVolumeClaim", "Job"} <= left
    denying.look()
    assert await denying.reconcile() == []
    again = Operator(cluster, queue_grants={"spee*": ["demo.en"]})
    assert kinds(await again.reconcile(), "apply") == ["Deployment", "Secret"]


async def test_a_server_that_may_not_serve_a_queue_holds_it_against_nobody(cluster):
    cluster.hold(body({"model": {"name": "tiny.en"}, "queue": {"name": "demo.en"}}, name="late", uid="u-2"))
    cluster.objects["WhisperServer", "speech", "late"]["metadata"]["creationTimestamp"] = "2026-02-01T00:00:00Z"
    stolen = cluster.objects["WhisperServer", "speech", "demo"]
    stolen["spec"]["queue"] = {"aliases": ["elsewhere"]}
    operator = Operator(cluster, queue_grants={"speech": ["demo.en"]})
    await operator.reconcile()
    assert operator.conditions()["Ready"] == ("False", "QueueNotAllowed")
    await operator.reconcile("late")
    assert operator.conditions("late")["Ready"][1] != "QueueTaken"
