"""What computes in the pods, read from their logs and told in the status."""

import json

import pytest
from whisper_server_objects import complete_job, pod, server

from whisper_dispatcher.worker import server_log, supervisor
from whisper_operator.backends import READY_EVENT, Backend, Backends, backend_told
from whisper_operator.cluster import ApiError
from whisper_operator.events import happenings
from whisper_operator.observed import Observed
from whisper_operator.status import View, server_status
from whisper_operator.volume import model_volume

KEY = ("speech", "demo")
GPU = {"accelerator": {"vendor": "nvidia"}, "cache": {"mode": "Ephemeral"}}
NOW = "2026-01-01T00:00:00Z"


def ready_line(backend):
    return json.dumps({"slot": 0, "event": READY_EVENT, **backend.told(), "level": "info"})


def running(name="demo-1", *, ready=True, container="a"):
    status = {"name": "worker", "state": {"running": {}}, "containerID": container, "ready": ready, "restartCount": 0}
    conditions = [{"type": "Ready", "status": str(ready)}]
    return pod(name=name, conditions=conditions, containers=[status])


class Logs:
    def __init__(self, **by_pod):
        self.by_pod = by_pod
        self.asked = []

    async def first_log_bytes(self, namespace, name, container, count):
        self.asked.append(name)
        if name not in self.by_pod:
            raise ApiError(400, "BadRequest", "container not found")
        return self.by_pod[name][:count]


def test_the_operator_looks_for_the_line_that_the_worker_writes():
    assert supervisor.READY_EVENT == READY_EVENT
    line = ready_line(server_log.Backend("CUDA0", gpu_wanted=True))
    assert backend_told("p", f"\n{{no json\n{line}\n") == Backend("p", "cuda")
    assert backend_told("p", "") is None
    assert backend_told("p", f'{{"event": "{READY_EVENT}"}}') is None


async def test_each_log_is_read_once_and_again_when_its_container_is_another():
    logs = Logs(**{"demo-1": ready_line(server_log.Backend("CUDA0")), "demo-2": "an old log, cut off"})
    backends = Backends(logs)
    seen = Observed.of([], [running(), running("demo-2", container="b"), running("demo-3", ready=False)])
    for _ in range(2):
        assert await backends.look(KEY, seen) == ((Backend("demo-1", "cuda"),), None)
    assert sorted(logs.asked) == ["demo-1", "demo-2"]
    logs.by_pod["demo-1"] = ready_line(server_log.Backend())
    found, _ = await backends.look(KEY, Observed.of([], [running(container="c")]))
    assert found == (Backend("demo-1", "cpu"),)


async def test_a_log_that_cannot_be_read_is_asked_for_again():
    found, again_s = await Backends(Logs()).look(KEY, Observed.of([], [running()]))
    assert found == () and again_s is not None


def status(spec, *, backends=(), pods=(), previous=None):
    found = server(spec)
    view = View(found, model_volume(found), Observed.of([complete_job(found)], pods), backends=tuple(backends))
    return server_status(view, previous or {}, NOW)


def accelerated(told):
    found = [each for each in told["conditions"] if each["type"] == "Accelerated"]
    return (found[0]["status"], found[0]["reason"]) if found else None


def test_a_server_that_asks_for_no_device_has_no_such_condition():
    told = status({}, backends=[Backend("demo-1", "cpu")])
    assert accelerated(told) is None
    assert told["backend"] == "cpu"


@pytest.mark.parametrize(
    ("names", "condition", "backend"),
    [
        (["cuda"], ("True", "Accelerated"), "cuda"),
        (["cpu"], ("False", "CPUFallback"), "cpu"),
        (["cuda", "cpu"], ("False", "CPUFallback"), "cpu, cuda"),
        ([], ("Unknown", "NoPodYet"), None),
    ],
)
def test_one_pod_on_the_cpu_is_a_fallback(names, condition, backend):
    told = status(GPU, backends=[Backend(f"demo-{index}", name) for index, name in enumerate(names)])
    assert accelerated(told) == condition
    assert told.get("backend") == backend


def test_what_was_known_stays_while_no_pod_runs():
    before = status(GPU, backends=[Backend("demo-1", "cuda")])
    assert accelerated(status(GPU, previous=before)) == ("True", "Accelerated")
    assert status(GPU, previous=before)["backend"] == "cuda"


def test_a_required_device_that_is_not_used_is_told_everywhere():
    ended = {"exitCode": 1, "message": '{"reason": "cpu_fallback", "error": "It computes on the CPU."}'}
    worker = {"name": "worker", "image": "", "restartCount": 1, "lastState": {"terminated": ended}}
    told = status(GPU, pods=[pod(containers=[worker])])
    assert accelerated(told) == ("False", "CPUFallback")
    reasons = {each["type"]: (each["status"], each["reason"]) for each in told["conditions"]}
    assert reasons["Ready"] == ("False", "CPUFallback")
    assert reasons["Degraded"] == ("True", "CPUFallback")


def test_a_fallback_is_told_as_a_warning_once():
    told = status(GPU | {"accelerator": {"vendor": "nvidia", "required": False}}, backends=[Backend("demo-1", "cpu")])
    found = [each for each in happenings([], told["conditions"]) if each.reason == "CPUFallback"]
    assert [each.is_warning for each in found] == [True]
    assert not [each for each in happenings(told["conditions"], told["conditions"]) if each.reason == "CPUFallback"]
