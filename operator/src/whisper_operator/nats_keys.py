"""`python -m whisper_operator.nats_keys NAMESPACE SECRET`: makes the keys of a queue, once.

The Secret then holds what nats-server trusts, the credentials of each process, and what workers' users are signed with.
The keys of one that is there stay: others would lock everybody out. Where this version's processes need other subjects
than their credentials allow, the same users are signed again.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from whisper_contracts import names
from whisper_dispatcher import logs
from whisper_dispatcher.jetstream.permissions import ANY_QUEUE, Role, permissions
from whisper_operator import nats_jwt
from whisper_operator.access import NoAccess, find_access
from whisper_operator.cluster import ApiError, Cluster, Unreachable, connect
from whisper_operator.resources import SECRETS, Manifest

log = structlog.get_logger()

PROCESSES: dict[str, Role] = {"operator": "admin", "gateway": "gateway", "planner": "planner", "bot": "bot"}
"""Each with credentials of its own, and what it may do."""


class KeysTooOld(Exception):
    pass


def new_keys(random: Callable[[int], bytes], issued_at: int) -> dict[str, str]:
    """Contents of the Secret, by key.

    Workers have an account of their own. In one account NATS would publish an answer wherever a request's reply subject
    says, whether the asker may or not: a worker could have what it wrote read back to it as any message at all.
    """
    operator = nats_jwt.key_of("operator", random(nats_jwt.SEED_BYTES))
    speech, signing, workers, workers_signing, system = (
        nats_jwt.key_of("account", random(nats_jwt.SEED_BYTES)) for _ in range(5)
    )
    account, workers_account, system_account = (nats_jwt.public(each) for each in (speech, workers, system))
    accounts = {
        account: nats_jwt.account_jwt(
            operator,
            account,
            name="SPEECH",
            signing_keys=[nats_jwt.public(signing)],
            shared=nats_jwt.exports(ANY_QUEUE, (names.CANCEL_SUBJECTS,)),
            stores=True,
            issued_at=issued_at,
        ),
        workers_account: nats_jwt.account_jwt(
            operator,
            workers_account,
            name="WORKERS",
            signing_keys=[nats_jwt.public(workers_signing)],
            shared=nats_jwt.imports(account, ANY_QUEUE, (names.CANCEL_SUBJECTS,)),
            issued_at=issued_at,
        ),
        system_account: nats_jwt.account_jwt(operator, system_account, name="SYSTEM", issued_at=issued_at),
    }
    trusted = nats_jwt.operator_jwt(operator, system_account=system_account, issued_at=issued_at)
    found = {
        "auth.conf": _server_config(trusted, system_account, accounts),
        "processes.pub": account,
        "processes-signing.seed": nats_jwt.seed(signing),
        "account.pub": workers_account,
        "account-signing.seed": nats_jwt.seed(workers_signing),
        "operator.seed": nats_jwt.seed(operator),
        # nats-server reads variables as its own language: a letter first, or it might be a number.
        "routes.password": "r" + random(24).hex(),
    }
    for process in PROCESSES:
        user = nats_jwt.key_of("user", random(nats_jwt.SEED_BYTES))
        found[f"{process}.creds"] = _credentials(process, user, signing, account, issued_at)
    return found


def renewed_credentials(held: Mapping[str, str], issued_at: int) -> dict[str, str]:
    """Of those processes that may do something else now than what theirs say. held: contents of the Secret, by key."""
    if "processes.pub" not in held:
        raise KeysTooOld(
            "the workers have no account of their own in them. Delete this Secret, upgrade once more and restart NATS: "
            "all logins are made anew, and the queue keeps what it holds"
        )
    signing = nats_jwt.key_from_seed(held["processes-signing.seed"])
    renewed = {}
    for process, role in PROCESSES.items():
        name = f"{process}.creds"
        jwt, seed = nats_jwt.parts_of(held[name])
        if nats_jwt.rights_of(jwt) != _permissions(process, role):
            user = nats_jwt.key_from_seed(seed)
            renewed[name] = _credentials(process, user, signing, held["processes.pub"], issued_at)
    return renewed


def _permissions(process: str, role: Role) -> dict[str, Any]:
    return permissions(role, (), inbox=f"_INBOX_{process}")


def _credentials(process: str, user: Any, signing: Any, account: str, issued_at: int) -> str:
    jwt = nats_jwt.user_jwt(
        signing,
        nats_jwt.public(user),
        account=account,
        name=process,
        permissions=_permissions(process, PROCESSES[process]),
        issued_at=issued_at,
    )
    return nats_jwt.credentials(jwt, nats_jwt.seed(user))


def _server_config(operator: str, system_account: str, accounts: dict[str, str]) -> str:
    """nats-server reads JSON as its own configuration language; included, it is lines without the braces."""
    lines = {
        "operator": operator,
        "system_account": system_account,
        "resolver": "MEMORY",
        "resolver_preload": accounts,
    }
    return "".join(f"{name}: {json.dumps(value, indent=2)}\n" for name, value in lines.items())


async def make_once(cluster: Cluster, namespace: str, name: str, contents: Callable[[], dict[str, str]]) -> bool:
    """Whether they were made now."""
    if await cluster.get(SECRETS, namespace, name) is not None:
        return False
    try:
        await cluster.create(SECRETS, _secret(namespace, name, contents()))
    except ApiError as error:
        if error.status == 409:
            return False
        raise
    return True


async def renew(cluster: Cluster, namespace: str, name: str, issued_at: int) -> list[str]:
    """Keys of the Secret that hold other credentials now."""
    secret = await cluster.get(SECRETS, namespace, name)
    assert secret, "make_once comes first"
    held = {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}
    renewed = renewed_credentials(held, issued_at)
    if renewed:
        await cluster.merge(SECRETS, namespace, name, {"data": _encoded(renewed)})
    return list(renewed)


def _secret(namespace: str, name: str, contents: dict[str, str]) -> Manifest:
    labels = {"app.kubernetes.io/name": "whisperfleet", "app.kubernetes.io/component": "nats-keys"}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "type": "Opaque",
        "data": _encoded(contents),
    }


def _encoded(contents: Mapping[str, str]) -> dict[str, str]:
    return {key: base64.b64encode(value.encode()).decode() for key, value in contents.items()}


async def _run(namespace: str, name: str) -> None:
    async with connect(find_access()) as cluster:
        now = int(time.time())
        made = await make_once(cluster, namespace, name, lambda: new_keys(secrets.token_bytes, now))
        renewed = [] if made else await renew(cluster, namespace, name, now)
    what = "keys made" if made else "keys are there already"
    log.info(what, namespace=namespace, secret=name, signed_again=renewed)


def main() -> None:
    logs.configure("nats-keys", as_json=True)
    try:
        namespace, name = sys.argv[1:]
    except ValueError:
        sys.exit("Give a namespace and the name of a Secret.")
    try:
        asyncio.run(_run(namespace, name))
    except KeysTooOld as error:
        sys.exit(f"The keys in Secret {namespace}/{name} are too old: {error}.")
    except (NoAccess, ApiError, Unreachable) as error:
        sys.exit(f"The queue's keys could not be made: {error}")


if __name__ == "__main__":
    main()
