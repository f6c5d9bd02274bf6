"""The claim that holds a server's model."""

from __future__ import annotations

from whisper_operator.naming import claim_name, metadata
from whisper_operator.quantities import parse_quantity
from whisper_operator.server import Manifest, Server
from whisper_operator.volume import claim_spec


def model_claim(server: Server, live: Manifest | None) -> Manifest:
    """live: the claim as it is. Class and access mode of a claim never change, and only a bound one can grow."""
    owned = server.spec.cache.retention == "Delete"
    spec = claim_spec(server)
    if live:
        spec = _possible(spec, live)
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata(server, claim_name(server), component="download", owned=owned),
        "spec": spec,
    }


def _possible(wanted: Manifest, live: Manifest) -> Manifest:
    kept = {name: live["spec"][name] for name in ("accessModes", "storageClassName") if name in live["spec"]}
    size, live_size = (str(spec["resources"]["requests"]["storage"]) for spec in (wanted, live["spec"]))
    bound = (live.get("status") or {}).get("phase") == "Bound"
    grows = bound and parse_quantity(size) > parse_quantity(live_size)
    return kept | {"resources": {"requests": {"storage": size if grows else live_size}}}
