"""Writes the CustomResourceDefinitions and their reference: `python -m whisper_operator.crd.generate [FOLDER]`."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

from whisper_operator.crd.definition import KINDS, Kind, definition
from whisper_operator.crd.reference import reference_text

FOLDERS = (Path("manifests/crds"), Path("charts/whisperfleet/files/crds"))
"""The chart can read only what lies in it."""
REFERENCE = Path("docs/spec.md")


def manifest_text(kind: Kind) -> str:
    return yaml.safe_dump(definition(kind), sort_keys=False, allow_unicode=True, width=1000)


def write(folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for kind in KINDS:
        path = folder / f"{kind.plural}.yaml"
        path.write_text(manifest_text(kind), encoding="utf-8")
        written.append(path)
    return written


def main() -> None:
    written = [path for folder in map(Path, sys.argv[1:2] or FOLDERS) for path in write(folder)]
    if len(sys.argv) == 1:
        REFERENCE.write_text(reference_text(), encoding="utf-8")
        written.append(REFERENCE)
    for path in written:
        print(path)  # noqa: T201


if __name__ == "__main__":
    main()
