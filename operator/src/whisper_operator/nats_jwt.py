"""NATS' signed credentials: what nats-server checks against the keys in its configuration, without a list of users.

Everything here is pure: the same keys and times make the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import nkeys

Kind = Literal["operator", "account", "user"]
_PREFIXES: dict[Kind, int] = {
    "operator": nkeys.PREFIX_BYTE_OPERATOR,
    "account": nkeys.PREFIX_BYTE_ACCOUNT,
    "user": nkeys.PREFIX_BYTE_USER,
}
SEED_BYTES = 32
_HEADER = {"typ": "JWT", "alg": "ed25519-nkey"}
_VERSION = 2
_UNLIMITED = -1


def key_of(kind: Kind, entropy: bytes) -> Any:
    """The key pair that SEED_BYTES random bytes make."""
    return nkeys.from_seed(nkeys.encode_seed(entropy, _PREFIXES[kind]))


def key_from_seed(seed: str) -> Any:
    """Raises nkeys' own errors."""
    return nkeys.from_seed(seed.strip().encode())


def public(key: Any) -> str:
    return str(key.public_key.decode())


def seed(key: Any) -> str:
    return str(key.seed.decode())


def operator_jwt(operator: Any, *, system_account: str, issued_at: int) -> str:
    return _signed(
        operator, public(operator), "whisperfleet", {"type": "operator", "system_account": system_account}, issued_at
    )


def account_jwt(
    operator: Any,
    account: str,
    *,
    name: str,
    signing_keys: Sequence[str] = (),
    shared: Mapping[str, Any] | None = None,
    stores: bool = False,
    issued_at: int,
) -> str:
    """shared: its `exports` or `imports`. stores: whether it may use JetStream, as much as the server has."""
    unlimited = ("subs", "data", "payload", "imports", "exports", "conn", "leaf")
    limits: dict[str, Any] = dict.fromkeys(unlimited, _UNLIMITED) | {"wildcards": True}
    if stores:
        limits |= dict.fromkeys(("mem_storage", "disk_storage", "streams", "consumer"), _UNLIMITED)
    rights = {"type": "account", "limits": limits, "signing_keys": list(signing_keys), **(shared or {})}
    return _signed(operator, account, name, rights, issued_at)


def exports(services: Sequence[str], streams: Sequence[str]) -> dict[str, Any]:
    """services: subjects that others may publish to. streams: that they may hear."""
    return {"exports": _subjects(services, "service") + _subjects(streams, "stream")}


def imports(account: str, services: Sequence[str], streams: Sequence[str]) -> dict[str, Any]:
    """What `account` exports."""
    found = _subjects(services, "service") + _subjects(streams, "stream")
    return {"imports": [each | {"account": account} for each in found]}


def _subjects(subjects: Sequence[str], kind: Literal["service", "stream"]) -> list[dict[str, Any]]:
    return [{"name": subject, "subject": subject, "type": kind} for subject in subjects]


def user_jwt(
    signing: Any,
    user: str,
    *,
    account: str,
    name: str,
    permissions: Mapping[str, Any],
    issued_at: int,
    expires_at: int | None = None,
) -> str:
    """permissions: as a configuration file has them, with `publish` and `subscribe`."""
    rights = {
        "type": "user",
        "issuer_account": account,
        "pub": permissions["publish"],
        "sub": permissions["subscribe"],
        **dict.fromkeys(("subs", "data", "payload"), _UNLIMITED),
    }
    return _signed(signing, user, name, rights, issued_at, expires_at)


def credentials(jwt: str, user_seed: str) -> str:
    """The text of a .creds file."""
    return (
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user_seed}\n------END USER NKEY SEED------\n"
    )


def parts_of(credentials: str) -> tuple[str, str]:
    """The JWT and the seed of a .creds file."""
    lines = [line for line in credentials.splitlines() if line and not line.startswith("---")]
    return lines[0], lines[1]


def rights_of(jwt: str) -> dict[str, Any]:
    """What a user's JWT allows, as `user_jwt` takes it. The signature is not looked at."""
    body = jwt.split(".")[1]
    rights = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))["nats"]
    return {"publish": rights["pub"], "subscribe": rights["sub"]}


def _signed(
    issuer: Any, subject: str, name: str, rights: Mapping[str, Any], issued_at: int, expires_at: int | None = None
) -> str:
    claims: dict[str, Any] = {
        "iat": issued_at,
        "iss": public(issuer),
        "sub": subject,
        "name": name,
        "nats": {"version": _VERSION, **rights},
    }
    if expires_at is not None:
        claims["exp"] = expires_at
    claims["jti"] = base64.b32encode(hashlib.sha256(_json(claims)).digest()).decode().rstrip("=")
    text = f"{_base64(_json(_HEADER))}.{_base64(_json(claims))}"
    return f"{text}.{_base64(issuer.sign(text.encode()))}"


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
