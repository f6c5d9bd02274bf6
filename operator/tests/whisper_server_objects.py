"""WhisperServer objects, the children that they want, and what the cluster would make of those."""

from whisper_operator.children import desired_children
from whisper_operator.observed import Observed
from whisper_operator.server import parse_server
from whisper_operator.settings import OperatorSettings
from whisper_operator.volume import job_name, model_volume

CREATED = "2026-01-01T00:00:00Z"
LATER = "2026-01-01T00:05:00Z"
NOTHING = Observed.of([])


def body(spec=None, *, name="demo", uid="u-1", generation=1, **metadata):
    return {
        "apiVersion": "whisperfleet.dev/v1alpha1",
        "kind": "WhisperServer",
        "metadata": {"name": name, "namespace": "speech", "uid": uid, "generation": generation} | metadata,
        "spec": {"model": {"name": "demo.en"}} | (spec or {}),
    }


def server(spec=None, **metadata):
    return parse_server(body(spec, **metadata))


def settings(**given):
    defaults = {
        "nats_url": "nats://nats.whisperfleet:4222",
        "worker_nats_user": "worker",
        "worker_nats_password": "secret",
        "worker_images": {"cpu": "worker:cpu", "nvidia": "worker:cuda", "amd": "worker:vulkan", "intel": "worker:ov"},
        "models_image": "models:1",
    }
    return OperatorSettings(**(defaults | given))


def complete_job(found, **metadata):
    return {
        "kind": "Job",
        "metadata": {"name": job_name(found, model_volume(found)), "creationTimestamp": CREATED} | metadata,
        "status": {"conditions": [{"type": "Complete", "status": "True"}], "startTime": CREATED},
    }


def with_model(found):
    """What is observed once the download has come to its end."""
    return Observed.of([complete_job(found)])


def pod(component="worker", *, name="demo-1", phase="Running", conditions=(), containers=(), **metadata):
    return {
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "speech", "labels": {"app.kubernetes.io/component": component}}
        | metadata,
        "status": {"phase": phase, "conditions": list(conditions), "containerStatuses": list(containers)},
    }


def children(spec=None, observed=None, **given):
    found = server(spec)
    seen = with_model(found) if observed is None else observed
    wanted = desired_children(found, model_volume(found), seen, settings(**given))
    return {child["kind"]: child for child in wanted}


def pod_spec(spec=None, **given):
    return children(spec, **given)["Deployment"]["spec"]["template"]["spec"]


def worker(spec=None, **given):
    (container,) = pod_spec(spec, **given)["containers"]
    return container


def environment(spec=None, **given):
    return {variable["name"]: variable.get("value") for variable in worker(spec, **given)["env"]}
