"""WhisperClients: keys that the operator makes, changes and takes away, at the gateway itself."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest
from tests.e2e import installation
from tests.e2e.objects import Manifest, Objects
from tests.e2e.speech import Gateway

REVOKED_S = 5.0
"""Within which a key that is taken away must stop working."""
REFUSED: dict[str, tuple[Manifest, str]] = {
    "fewer than no requests": ({"quotas": {"requestsPerMinute": 0}}, "spec.quotas.requestsPerMinute"),
    "a model that is no name": ({"models": ["a b"]}, "spec.models[0]"),
    "a rotation that is none": ({"rotation": "again"}, "spec.rotation"),
    "an unknown field": ({"operator": True}, 'unknown field "spec.operator"'),
}


@pytest.fixture
def caller(namespace: Objects, gateway_url: str) -> Gateway:
    """With the key of the WhisperClient `app`."""
    namespace.client("app")
    return Gateway(gateway_url, namespace.client_key("app"))


def wait_refused(namespace: Objects, caller: Gateway) -> None:
    namespace.wait("The key is refused", lambda: caller.status() == httpx.codes.UNAUTHORIZED, limit_s=REVOKED_S)


def test_a_deleted_clients_key_is_refused_within_seconds_and_its_secret_goes(
    namespace: Objects, caller: Gateway
) -> None:
    assert caller.status() == httpx.codes.OK
    namespace.kubectl("delete", "whisperclient", "app")
    wait_refused(namespace, caller)
    namespace.wait("The Secret goes", lambda: namespace.get("secret", "app-key") is None)


def test_a_client_deleted_while_no_operator_runs_is_revoked_by_the_next(
    namespace: Objects, platform: Objects, caller: Gateway
) -> None:
    platform.kubectl("scale", installation.OPERATOR, "--replicas=0")
    try:
        gone = ("--for=delete", "pod", "--selector=app.kubernetes.io/component=operator", "--timeout=60s")
        platform.kubectl("wait", *gone, limit_s=65)
        namespace.kubectl("delete", "whisperclient", "app")
        assert caller.status() == httpx.codes.OK
    finally:
        platform.kubectl("scale", installation.OPERATOR, "--replicas=1")
        platform.kubectl("rollout", "status", installation.OPERATOR, "--timeout=60s", limit_s=65)
    wait_refused(namespace, caller)


def test_another_rotation_is_another_key_and_the_old_one_is_refused(namespace: Objects, caller: Gateway) -> None:
    before = namespace.existing("whisperclient", "app")["status"]["client"]
    namespace.client("app", {"rotation": 1})
    namespace.wait("The key is another", lambda: namespace.client_key("app") != caller.key)
    wait_refused(namespace, caller)
    assert replace(caller, key=namespace.client_key("app")).status() == httpx.codes.OK
    assert namespace.existing("whisperclient", "app")["status"]["client"] == before


def test_a_key_survives_a_restart_of_the_operator_and_nothing_is_written_at_rest(
    namespace: Objects, platform: Objects, caller: Gateway
) -> None:
    def versions() -> list[str]:
        found = (namespace.existing("secret", "app-key"), namespace.existing("whisperclient", "app"))
        return [each["metadata"]["resourceVersion"] for each in found]

    before = versions()
    platform.kubectl("rollout", "restart", installation.OPERATOR)
    platform.kubectl("rollout", "status", installation.OPERATOR, "--timeout=60s", limit_s=65)
    namespace.client("later")  # the new operator has seen them all
    assert versions() == before
    assert caller.status() == httpx.codes.OK


def test_a_deleted_secret_is_made_again_with_another_key(namespace: Objects, caller: Gateway) -> None:
    namespace.kubectl("delete", "secret", "app-key")
    namespace.wait("There is a Secret again", lambda: namespace.get("secret", "app-key") is not None)
    wait_refused(namespace, caller)
    again = replace(caller, key=namespace.client_key("app"))
    namespace.wait("The new key is taken", lambda: again.status() == httpx.codes.OK, limit_s=REVOKED_S)


def test_a_secret_of_somebody_else_is_never_touched(namespace: Objects) -> None:
    namespace.kubectl("create", "secret", "generic", "own-key", "--from-literal=key=mine")
    metadata = {"name": "own"}
    namespace.apply({"apiVersion": "whisperfleet.dev/v1alpha1", "kind": "WhisperClient", "metadata": metadata})
    namespace.kubectl("wait", "--for=jsonpath={.status.conditions[0].reason}=NameTaken", "whisperclient/own")
    assert namespace.client_key("own") == "mine"


def test_a_model_that_a_client_may_not_use_is_hidden_from_it_alone(namespace: Objects, caller: Gateway) -> None:
    namespace.server("served", {"replicas": 0})
    namespace.client("narrow", {"models": ["other.en"]})
    namespace.wait("The gateway knows the model", lambda: caller.knows("demo.en"))
    assert not replace(caller, key=namespace.client_key("narrow")).knows("demo.en")


@pytest.mark.parametrize("what", REFUSED)
def test_a_bad_client_is_refused_with_a_sentence_that_names_the_field(what: str, shared_namespace: Objects) -> None:
    spec, sentence = REFUSED[what]
    manifest = {"apiVersion": "whisperfleet.dev/v1alpha1", "kind": "WhisperClient", "metadata": {"name": "bad"}}
    assert sentence in shared_namespace.refusal(manifest | {"spec": spec})
