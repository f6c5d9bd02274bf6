"""The NATS user of each WhisperServer: limited to its own queue, signed here, known to no list."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from whisper_dispatcher.jetstream.permissions import permissions
from whisper_operator import nats_jwt

LIFETIME_S = 30 * 24 * 3600
RENEWED_EVERY_S = LIFETIME_S // 2
"""An operator that is away for less than the other half costs no worker its connection."""

SIGNED_KEPT = 4096


@dataclass(frozen=True, slots=True)
class Signing:
    """What users are signed with."""

    account: str
    """Its public key."""
    seed: str = field(repr=False)
    """Of one of the account's signing keys, or of the account itself."""


def inbox_prefix(uid: str) -> str:
    """Replies carry audio: workers of one server share an inbox, and no others may listen there."""
    return f"_INBOX_worker-{uid}"


def worker_credentials(signing: Signing, *, uid: str, name: str, queue: str, now_s: float) -> str:
    """The .creds file of the workers of the WhisperServer `uid`.

    It is the same bytes until it is renewed, so nothing has to be remembered and a changed Secret is put right.
    name: for people, in NATS' own listings.
    """
    return _credentials(signing, uid, name, queue, _renewed_at(uid, now_s))


@lru_cache(maxsize=SIGNED_KEPT)
def _credentials(signing: Signing, uid: str, name: str, queue: str, issued_at: int) -> str:
    """Kept: every look at a server wants to know them, and signing takes longer than the rest of it."""
    key = nats_jwt.key_from_seed(signing.seed)
    user = _user_key(signing, uid, issued_at)
    jwt = nats_jwt.user_jwt(
        key,
        nats_jwt.public(user),
        account=signing.account,
        name=name,
        permissions=permissions("worker", (queue,), inbox=inbox_prefix(uid)),
        issued_at=issued_at,
        expires_at=issued_at + LIFETIME_S,
    )
    return nats_jwt.credentials(jwt, nats_jwt.seed(user))


def _renewed_at(uid: str, now_s: float) -> int:
    """Each server at a time of its own, or all of them would be renewed in one moment."""
    offset = int.from_bytes(hashlib.sha256(uid.encode()).digest()[:8], "big") % RENEWED_EVERY_S
    return int((now_s - offset) // RENEWED_EVERY_S) * RENEWED_EVERY_S + offset


def _user_key(signing: Signing, uid: str, issued_at: int) -> Any:
    entropy = hmac.digest(signing.seed.strip().encode(), f"user {uid} {issued_at}".encode(), "sha256")
    return nats_jwt.key_of("user", entropy[: nats_jwt.SEED_BYTES])
