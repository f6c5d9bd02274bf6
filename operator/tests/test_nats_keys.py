"""The keys of a cluster and the credentials that they sign: when they are made, renewed and left alone."""

from __future__ import annotations

import base64
import json
import secrets
from typing import Any

import pytest

from whisper_contracts import names
from whisper_operator import nats_jwt, nats_keys
from whisper_operator.cluster import ApiError
from whisper_operator.nats_users import LIFETIME_S, RENEWED_EVERY_S, Signing, worker_credentials
from whisper_operator.resources import SECRETS

UID, OTHER_UID = "0c9e8f6e-1111-4222-8333-444455556666", "a0a0a0a0-1111-4222-8333-444455556666"
NOW_S = 1_800_000_000.0
SIGNING = Signing("ACCOUNT", nats_jwt.seed(nats_jwt.key_of("account", b"k" * nats_jwt.SEED_BYTES)))


def at(now_s: float, uid: str = UID) -> str:
    return worker_credentials(SIGNING, uid=uid, name="demo", queue="demo.en", now_s=now_s)


def claims(credentials: str) -> dict[str, Any]:
    body = credentials.splitlines()[1].split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


def test_credentials_are_the_same_bytes_until_they_are_renewed():
    renewed_at = claims(at(NOW_S))["iat"] + RENEWED_EVERY_S
    assert at(NOW_S) == at(renewed_at - 1)
    assert at(NOW_S) != at(renewed_at)


def test_credentials_outlast_their_renewal_by_as_long_as_it_takes():
    told = claims(at(NOW_S))
    assert told["exp"] - NOW_S > LIFETIME_S - RENEWED_EVERY_S
    assert told["iat"] <= NOW_S


def test_servers_are_renewed_at_times_of_their_own():
    own, other = (claims(at(NOW_S, uid))["iat"] for uid in (UID, OTHER_UID))
    assert own != other
    assert NOW_S - RENEWED_EVERY_S < own <= NOW_S


def test_a_signing_key_shows_in_no_log():
    assert SIGNING.seed not in repr(SIGNING)


class _Secrets:
    """The API server's part in making a Secret: it keeps the first of a name."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, str], dict[str, object]] = {}
        self.hides = False
        self.merges = True

    async def get(self, resource, namespace, name):
        assert resource is SECRETS
        return None if self.hides else self.held.get((namespace, name))

    async def create(self, resource, manifest):
        key = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
        if key in self.held:
            raise ApiError(409, "AlreadyExists", "secrets already exists")
        self.held[key] = manifest
        return manifest

    async def merge(self, resource, namespace, name, patch):
        assert self.merges and resource is SECRETS
        self.held[namespace, name]["data"] |= patch["data"]


@pytest.mark.parametrize("raced", [False, True], ids=["later", "at the same time"])
async def test_keys_that_are_there_are_left_as_they_are(raced):
    cluster = _Secrets()
    assert await nats_keys.make_once(cluster, "speech", "keys", lambda: {"a": "first"})
    cluster.hides = raced
    assert not await nats_keys.make_once(cluster, "speech", "keys", lambda: {"a": "second"})
    assert cluster.held["speech", "keys"]["data"] == {"a": "Zmlyc3Q="}


def held_by_an_older_version(process: str, permissions: dict[str, object]) -> dict[str, str]:
    keys = nats_keys.new_keys(secrets.token_bytes, 1)
    signing = nats_jwt.key_from_seed(keys["processes-signing.seed"])
    user = nats_jwt.key_from_seed(nats_jwt.parts_of(keys[f"{process}.creds"])[1])
    jwt = nats_jwt.user_jwt(
        signing,
        nats_jwt.public(user),
        account=keys["processes.pub"],
        name=process,
        permissions=permissions,
        issued_at=1,
    )
    return keys | {f"{process}.creds": nats_jwt.credentials(jwt, nats_jwt.seed(user))}


def test_a_user_that_may_do_too_little_for_this_version_is_signed_again_and_no_other():
    held = held_by_an_older_version("gateway", {"publish": {"allow": ["x"]}, "subscribe": {"allow": ["y"]}})
    renewed = nats_keys.renewed_credentials(held, 2)
    assert renewed.keys() == {"gateway.creds"}
    old, new = claims(held["gateway.creds"]), claims(renewed["gateway.creds"])
    assert (new["sub"], new["iss"]) == (old["sub"], old["iss"])
    assert names.WORKER_SUBJECTS in new["nats"]["sub"]["allow"]
    assert nats_jwt.parts_of(renewed["gateway.creds"])[1] == nats_jwt.parts_of(held["gateway.creds"])[1]
    assert nats_keys.renewed_credentials(held | renewed, 3) == {}


async def test_an_upgrade_changes_nothing_of_a_secret_but_such_credentials():
    cluster = _Secrets()
    held = held_by_an_older_version("planner", {"publish": {}, "subscribe": {}})
    await nats_keys.make_once(cluster, "speech", "keys", lambda: held)
    before = dict(cluster.held["speech", "keys"]["data"])
    assert await nats_keys.renew(cluster, "speech", "keys", 2) == ["planner.creds"]
    after = cluster.held["speech", "keys"]["data"]
    assert {key for key in after if after[key] != before[key]} == {"planner.creds"}
    cluster.merges = False
    assert await nats_keys.renew(cluster, "speech", "keys", 3) == []


def test_keys_of_a_version_in_which_workers_had_no_account_are_told_of():
    held = nats_keys.new_keys(secrets.token_bytes, 1)
    del held["processes.pub"]
    with pytest.raises(nats_keys.KeysTooOld, match="Delete this Secret"):
        nats_keys.renewed_credentials(held, 2)
