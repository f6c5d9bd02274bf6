"""JSON merge patches (RFC 7386)."""

from __future__ import annotations

from whisper_operator.resources import Manifest


def merge_patch(old: Manifest, new: Manifest) -> Manifest:
    """What turns old into new; empty where they are equal."""
    patch: Manifest = {name: None for name in old if name not in new}
    for name, value in new.items():
        before = old.get(name)
        if isinstance(value, dict) and isinstance(before, dict):
            if part := merge_patch(before, value):
                patch[name] = part
        elif name not in old or before != value:
            patch[name] = value
    return patch
