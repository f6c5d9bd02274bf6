"""The claim that holds a model."""

from __future__ import annotations

from collections.abc import Sequence

from whisper_operator.naming import claim_name, metadata
from whisper_operator.owner import Owner
from whisper_operator.quantities import parse_quantity
from whisper_operator.resources import Manifest
from whisper_operator.volume import ClaimWish, claim_spec


def model_claim(owner: Owner, wish: ClaimWish, live: Manifest | None, users: Sequence[Manifest] = ()) -> Manifest:
    """live: the claim as it is. Class and access mode of a claim never change, and only a bound one can grow.

    users: owner references of others who keep it, so that it goes with the last of them.
    """
    owned = wish.retention == "Delete"
    spec = claim_spec(wish)
    if live:
        spec = _possible(spec, live)
    found = metadata(owner, claim_name(owner), component="download", owned=owned)
    if owned and users:
        found["ownerReferences"] += users
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": found,
        "spec": spec,
    }


def _possible(wanted: Manifest, live: Manifest) -> Manifest:
    kept = {name: live["spec"][name] for name in ("accessModes", "storageClassName") if name in live["spec"]}
    size, live_size = (str(spec["resources"]["requests"]["storage"]) for spec in (wanted, live["spec"]))
    bound = (live.get("status") or {}).get("phase") == "Bound"
    grows = bound and parse_quantity(size) > parse_quantity(live_size)
    return kept | {"resources": {"requests": {"storage": size if grows else live_size}}}
