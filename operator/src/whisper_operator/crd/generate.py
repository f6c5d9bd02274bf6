"""Writes the CustomResourceDefinitions: `python -m whisper_operator.crd.generate [FOLDER]`."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

from whisper_operator.crd.definition import KINDS, Kind, definition

FOLDERS = (Path("manifests/crds"), Path("charts/whisperfleet/files/crds"))
"""The chart can read only what lies in it."""


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
    for folder in [Path(sys.argv[1])] if len(sys.argv) > 1 else FOLDERS:
        for path in write(folder):
            print(path)  # noqa: T201


if __name__ == "__main__":
    main()
