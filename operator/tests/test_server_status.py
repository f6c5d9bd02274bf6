"""What the status tells of a WhisperServer, from what is observed of its children."""

import json

import pytest
from whisper_server_objects import complete_job, pod, server

from whisper_operator.conditions import refused_status
from whisper_operator.download_status import Progress
from whisper_operator.observed import Observed
from whisper_operator.problems import Problem, Wish, container_problem, last_record, scheduling_problem
from whisper_operator.scaling import Load
from whisper_operator.status import View, server_status
from whisper_operator.volume import model_volume

NOW, LATER = "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"


def deployment(found, **status):
    return {"kind": "Deployment", "metadata": {"name": found.name}, "spec": {}, "status": status}


def status(found, children=(), pods=(), previous=None, now=NOW, **view):
    seen = View(found, model_volume(found), Observed.of(children, pods), **view)
    return server_status(seen, previous or {}, now)


def condition(told, type_):
    (found,) = [each for each in told["conditions"] if each["type"] == type_]
    return found["status"], found["reason"], found["message"]


def container(name="worker", *, waiting=None, terminated=None, running=False, ready=False, restarts=1, last=None):
    state = {"waiting": waiting} if waiting else {"terminated": terminated} if terminated else {}
    state |= {"running": {"startedAt": NOW}} if running else {}
    return {
        "name": name,
        "image": "worker:cpu",
        "state": state,
        "lastState": {"terminated": last} if last else {},
        "ready": ready,
        "restartCount": restarts,
    }


def waiting(reason, message):
    return container(waiting={"reason": reason, "message": message})


def ended(message, name="worker"):
    return container(name, last={"exitCode": 1, "message": message})


def unscheduled(message):
    return pod(conditions=[{"type": "PodScheduled", "status": "False", "message": message}])


def serving(found, pods=1):
    return [complete_job(found), deployment(found, replicas=pods, readyReplicas=pods, updatedReplicas=pods)]


def test_a_server_whose_pods_take_work_is_ready_and_settled():
    found = server({"replicas": 2})
    told = status(found, serving(found, 2))
    assert condition(told, "Ready") == ("True", "Serving", "2 of 2 pods take work.")
    assert condition(told, "Progressing")[:2] == ("False", "Settled")
    assert condition(told, "Degraded")[:2] == ("False", "AsWanted")
    assert (told["readyReplicas"], told["model"]["percent"]) == (2, 100)
    assert "app.kubernetes.io/instance=demo" in told["selector"]


def test_a_change_that_the_deployment_controller_has_not_seen_is_not_settled():
    found = server()
    done, made = serving(found)
    made["metadata"]["generation"] = 2
    for seen, reason in ((1, "RollingOut"), (2, "Settled")):
        made["status"]["observedGeneration"] = seen
        assert condition(status(found, [done, made]), "Progressing")[1] == reason


def test_before_its_pods_are_ready_it_starts():
    found = server()
    told = status(found, [complete_job(found), deployment(found, replicas=1, updatedReplicas=1)], [pod()])
    assert condition(told, "Ready")[:2] == ("False", "Starting")
    assert condition(told, "Progressing")[:2] == ("True", "RollingOut")


def test_a_download_is_told_in_bytes_and_percent():
    found = server()
    told = status(found, pods=[pod("download")], progress=Progress(250_000, 1_000_000))
    assert (told["model"]["bytesDownloaded"], told["model"]["percent"]) == (250_000, 25)
    assert condition(told, "ModelCached") == ("False", "Downloading", "0 of 1 MB of the model are there.")
    assert condition(told, "Ready")[1] == "Downloading"
    assert condition(told, "Degraded")[0] == "False"


def test_a_download_that_has_no_pod_yet_is_pending():
    assert condition(status(server()), "ModelCached")[:2] == ("False", "DownloadPending")


def test_a_corrupt_model_is_never_ready_and_says_so_everywhere():
    said = json.dumps({"reason": "ChecksumMismatch", "message": "The file has another checksum."})
    failed = container("fetch", terminated={"exitCode": 1, "message": said})
    told = status(server(), pods=[pod("download", containers=[failed])])
    for type_, holds in (("Ready", "False"), ("ModelCached", "False"), ("Degraded", "True")):
        assert condition(told, type_) == (holds, "ChecksumMismatch", "The file has another checksum.")


def test_a_server_that_was_asked_for_no_pods_says_whose_wish_it_was():
    nobody = [complete_job(server()), deployment(server(), replicas=0)]
    assert condition(status(server({"suspend": True}), nobody), "Ready")[:2] == ("False", "Suspended")
    assert condition(status(server({"replicas": 0}), nobody), "Ready")[:2] == ("False", "ScaledToZero")
    scaled = server({"replicas": 0, "autoscaling": {"maxReplicas": 2}})
    assert condition(status(scaled, nobody), "Ready")[:2] == ("True", "ScaledToZero")


def test_pods_that_serve_on_beside_a_stuck_rollout_are_ready_and_degraded():
    found = server()
    stuck = {"type": "Progressing", "status": "False", "message": "It timed out."}
    old = [complete_job(found), deployment(found, replicas=1, readyReplicas=1, conditions=[stuck])]
    told = status(found, old)
    assert condition(told, "Ready")[0] == "True"
    assert condition(told, "Degraded")[:2] == ("True", "ProgressDeadlineExceeded")
    assert condition(told, "Progressing")[:2] == ("False", "ProgressDeadlineExceeded")


def test_a_refused_child_is_told_with_the_api_servers_own_words():
    found = server()
    told = status(found, serving(found), refused=(Problem("ChildRefused", "The Job was refused: too big."),))
    assert condition(told, "Degraded") == ("True", "ChildRefused", "The Job was refused: too big.")


def test_the_queues_depth_is_told_once_it_is_known():
    assert "queue" not in status(server())
    assert status(server(), load=Load(7, 2))["queue"] == {"pending": 7, "inFlight": 2}


def test_a_transition_is_dated_when_the_status_changes_and_not_when_the_words_do():
    found = server({"replicas": 2})
    first = status(found, serving(found))
    again = status(found, serving(found, 2), previous=first, now=LATER)
    dates = {each["type"]: each["lastTransitionTime"] for each in again["conditions"]}
    assert condition(first, "Ready")[2] != condition(again, "Ready")[2]
    assert dates["Ready"] == NOW and dates["Progressing"] == LATER


def test_the_same_observation_gives_the_same_status_so_that_nothing_is_written():
    found = server()
    first = status(found, serving(found))
    assert status(found, serving(found), previous=first, now=LATER) == first


def test_a_refused_spec_leaves_what_is_said_of_the_running_pods():
    found = server()
    told = refused_status(5, Problem("QueueTaken", "It is taken."), status(found, serving(found)), LATER)
    assert condition(told, "Ready") == ("False", "QueueTaken", "It is taken.")
    assert condition(told, "ModelCached")[0] == "True"
    assert (told["observedGeneration"], told["readyReplicas"]) == (5, 1)


@pytest.mark.parametrize(
    ("message", "wish", "reason", "words"),
    [
        ("0/3 nodes: 3 Insufficient nvidia.com/gpu.", Wish("nvidia.com/gpu"), "InsufficientGPU", "nvidia.com/gpu free"),
        ("0/3 nodes: 3 Insufficient cpu.", Wish("nvidia.com/gpu"), "Unschedulable", "Check requests"),
        ('persistentvolumeclaim "m" not found.', Wish(None, "fast"), "ClaimPending", "storage class fast"),
        ("3 node(s) had volume node affinity conflict.", Wish(), "ClaimPending", "spec.cache"),
    ],
)
def test_a_pod_without_a_node_says_what_is_missing(message, wish, reason, words):
    problem = scheduling_problem([pod(), unscheduled(message)], wish)
    assert problem.reason == reason and words in problem.message and message in problem.message


@pytest.mark.parametrize(
    ("broken", "reason", "words"),
    [
        (waiting("ErrImagePull", 'pull "x"'), "ImagePullBackOff", 'worker:cpu: pull "x". Check its name'),
        (waiting("CreateContainerConfigError", "no secret"), "PodMisconfigured", "no secret. Make the Secret"),
        (waiting("RunContainerError", "no runtime"), "PodMisconfigured", "no runtime. Check the image"),
        (container(terminated={"exitCode": 137, "reason": "OOMKilled"}), "OOMKilled", "limits.memory"),
        (ended('{"error": "no model"}'), "CrashLoop", "no model. `kubectl logs demo-1 --previous`"),
        (ended('{"reason": "server_failed", "error": "exit 3."}'), "ServerFailed", "exit 3. Check the model file"),
        (ended('{"reason": "golden_clip"}'), "GoldenClipFailed", "exit code 1."),
        (ended("{}", "fetch"), "DownloadFailed", "exit code 1. Look at `kubectl logs demo-1 -c fetch`"),
        (ended("MemoryError", "fetch"), "DownloadFailed", "MemoryError. Look at `kubectl logs demo-1 -c fetch`"),
        (ended('{"reason": "NotFound", "message": "No a.bin."}', "fetch"), "DownloadNotFound", "No a.bin."),
    ],
)
def test_a_container_that_cannot_work_says_why_and_what_to_do(broken, reason, words):
    problem = container_problem([pod(containers=[broken])])
    assert problem.reason == reason and words in problem.message


@pytest.mark.parametrize(
    "fine",
    [
        container(running=True, ready=True, last={"exitCode": 1}),
        container("fetch", terminated={"exitCode": 0}, restarts=0),
        container(running=True, restarts=0),
    ],
    ids=["recovered", "done", "starting"],
)
def test_a_container_that_works_or_has_done_its_work_is_no_problem(fine):
    assert container_problem([pod(containers=[fine])]) is None


def test_a_pod_that_goes_is_nobodys_problem():
    going = pod(containers=[container(last={"exitCode": 1})], deletionTimestamp=NOW)
    assert container_problem([going]) is None


def test_an_evicted_pod_that_was_replaced_is_nobodys_problem():
    evicted = pod(containers=[container(terminated={"exitCode": 137})], phase="Failed")
    assert container_problem([evicted]) is None


def test_the_last_record_of_a_log_counts():
    assert last_record('{"bytes": 1}\n{"bytes": 2}\n\n') == {"bytes": 2}
    assert last_record("Traceback\nValueError: no") == {"message": "ValueError: no"}
    assert last_record("") == {}
