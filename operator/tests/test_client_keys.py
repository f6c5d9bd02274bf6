"""What a WhisperClient's Secret holds, when it is changed, and what the gateway is told."""

import base64

import pytest
from whisper_client_objects import client, live

from whisper_dispatcher.jobs.clients import key_hash
from whisper_operator.client_key import (
    client_record,
    foreign,
    is_kept_by,
    new_secret,
    record_owner,
    rotation_patch,
    unusable,
)


def key_in(secret):
    return base64.b64decode(secret["data"]["key"]).decode()


def encoded(text):
    return base64.b64encode(text.encode()).decode()


def test_each_client_gets_a_key_of_its_own_in_a_secret_that_goes_with_it():
    first, second = new_secret(client()), new_secret(client(uid="c-2"))
    assert key_in(first).startswith("wf_") and key_in(first) != key_in(second)
    (owner,) = first["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"], owner["controller"]) == ("WhisperClient", "app", "c-1", True)


def test_the_gateway_hears_of_the_hash_alone():
    secret = live(client())
    hashed, record = client_record(client(), secret)
    assert hashed == key_hash(key_in(secret))
    assert key_in(secret) not in record.encode().decode()


def test_quotas_and_models_of_the_spec_reach_the_gateway():
    spec = {
        "quotas": {"requestsPerMinute": 5, "jobsInFlight": 2, "audioSecondsPerDay": 3600},
        "models": ["demo.en"],
    }
    _, record = client_record(client(spec), live(client()))
    assert (record.requests_per_minute, record.jobs_in_flight, record.audio_seconds_per_day) == (5, 2, 3600)
    assert record.models == ("demo.en",)
    assert not record.operator


def test_without_models_all_are_allowed():
    assert client_record(client(), live(client()))[1].models is None


def test_a_secret_stays_as_it_is_while_no_other_rotation_is_asked_for():
    asked = client({"rotation": 3})
    assert rotation_patch(asked, live(asked)) is None


def test_another_rotation_makes_another_key_for_this_version_of_the_secret_alone():
    before = live(client())
    patch = rotation_patch(client({"rotation": 1}), before)
    assert key_in(patch) != key_in(before)
    assert list(patch["data"]) == ["key"]
    assert patch["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    assert (
        rotation_patch(client({"rotation": 1}), before | {"metadata": before["metadata"] | patch["metadata"]}) is None
    )


def test_a_rotated_key_belongs_to_the_same_client_with_the_same_webhook_secret():
    before = live(client())
    after = before | {"data": before["data"] | rotation_patch(client({"rotation": 1}), before)["data"]}
    (old_hash, old), (new_hash, new) = client_record(client(), before), client_record(client(), after)
    assert old_hash != new_hash
    assert old == new


def test_a_secret_of_somebody_else_is_refused_by_name():
    assert foreign(client(), live(client())) is None
    problem = foreign(client(uid="c-2"), live(client()))
    assert problem.reason == "NameTaken" and "Secret app-key" in problem.message
    assert foreign(client(), {"metadata": {"name": "app-key"}}).reason == "NameTaken"


@pytest.mark.parametrize("key", ["", "short", "!"])
def test_a_key_that_could_be_guessed_is_refused(key):
    secret = live(client())
    assert unusable(secret) is None
    assert unusable(secret | {"data": {"key": encoded(key)}}).reason == "KeyUnusable"


def test_a_secret_without_a_key_or_with_bytes_that_are_no_text_is_refused():
    secret = live(client())
    del secret["data"]["key"]
    assert unusable(secret).reason == "KeyUnusable"
    assert unusable(secret | {"data": {"key": base64.b64encode(b"\xff" * 40).decode()}}).reason == "KeyUnusable"
    assert unusable(secret | {"data": None}).reason == "KeyUnusable"


def test_an_operator_of_one_namespace_answers_for_the_clients_there_alone():
    owner = record_owner("speech", "c-1")
    assert is_kept_by(owner, None) and is_kept_by(owner, "speech")
    assert not is_kept_by(owner, "spee") and not is_kept_by("", None) and not is_kept_by("operator/*", None)
