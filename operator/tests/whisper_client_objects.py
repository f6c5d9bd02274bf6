"""WhisperClient objects and their Secrets as the cluster has them."""

from whisper_operator.client import parse_client
from whisper_operator.client_key import new_secret


def client_body(spec=None, *, name="app", uid="c-1", generation=1, **metadata):
    return {
        "apiVersion": "whisperfleet.dev/v1alpha1",
        "kind": "WhisperClient",
        "metadata": {"name": name, "namespace": "speech", "uid": uid, "generation": generation} | metadata,
        "spec": spec or {},
    }


def client(spec=None, **metadata):
    return parse_client(client_body(spec, **metadata))


def live(found, version="7"):
    """The Secret, once the API server has it."""
    secret = new_secret(found)
    return secret | {"metadata": secret["metadata"] | {"resourceVersion": version, "uid": f"secret-{version}"}}
