"""Whether a live object is what is wanted. The live one always holds more: defaults, status, what others added."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from whisper_operator.naming import HASH_ANNOTATION, short_hash
from whisper_operator.quantities import is_quantity, parse_quantity
from whisper_operator.resources import CLAIMS, Manifest

MERGE_KEYS = ("name", "uid", "containerPort", "mountPath", "type", "key")
"""By which the parts of a list are the same part: the first one that tells all parts of the wanted list apart."""
QUANTITIES = (".requests.", ".limits.")


def with_hash(manifest: Manifest) -> Manifest:
    """A field that is no longer wanted cannot be seen in the live object; another hash tells."""
    metadata = manifest["metadata"]
    annotations = metadata.get("annotations", {}) | {HASH_ANNOTATION: short_hash(_changeable(manifest))}
    return manifest | {"metadata": metadata | {"annotations": annotations}}


def _changeable(manifest: Manifest) -> Manifest:
    """A claim's class and access mode are stated as the cluster has them once it has chosen: no other claim is wanted."""
    if manifest["kind"] != CLAIMS.kind:
        return manifest
    return manifest | {"spec": {"resources": manifest["spec"]["resources"]}}


def first_difference(wanted: Manifest, live: Manifest) -> str | None:
    """The path of a field whose wanted value the live object does not have."""
    return next(_differences(wanted, live, ""), None)


def _differences(wanted: Any, live: Any, path: str) -> Iterator[str]:
    # Most parts are the very same, and one comparison of them is faster than a walk.
    if wanted == live or (_is_absent(wanted) and _is_absent(live)):
        return
    if isinstance(wanted, dict) and isinstance(live, dict):
        for name, value in wanted.items():
            yield from _differences(value, live.get(name), f"{path}.{name}" if path else name)
    elif isinstance(wanted, list) and isinstance(live, list):
        yield from _list_differences(wanted, live, path)
    elif not _same_scalar(wanted, live, path):
        yield path


def _list_differences(wanted: list[Any], live: list[Any], path: str) -> Iterator[str]:
    key = _merge_key(wanted)
    if key is None:
        if len(wanted) != len(live):
            yield path
        for index, (part, live_part) in enumerate(zip(wanted, live, strict=False)):
            yield from _differences(part, live_part, f"{path}[{index}]")
        return
    by_key = {part.get(key): part for part in live if isinstance(part, dict)}
    for part in wanted:
        yield from _differences(part, by_key.get(part[key]), f"{path}[{part[key]}]")


def _merge_key(wanted: list[Any]) -> str | None:
    if not wanted or not all(isinstance(part, dict) for part in wanted):
        return None
    return next((key for key in MERGE_KEYS if _tells_apart(key, wanted)), None)


def _tells_apart(key: str, parts: list[Any]) -> bool:
    return len({str(part[key]) for part in parts if key in part}) == len(parts)


def _is_absent(value: Any) -> bool:
    """The API server drops empty lists, maps and strings."""
    return value is None or value in ("", [], {})


def _same_scalar(wanted: Any, live: Any, path: str) -> bool:
    """Of two that are not equal."""
    if not any(part in path for part in QUANTITIES):
        return False
    # The API server writes quantities its own way: 0.5 as 500m, 1024Mi as 1Gi.
    return is_quantity(wanted) and is_quantity(live) and parse_quantity(wanted) == parse_quantity(live)
