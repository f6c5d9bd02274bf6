"""Whether the images get the sources that they are made of."""

from __future__ import annotations

import tomllib
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]


def test_every_package_of_the_distribution_reaches_the_images() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    let_in = {line.removeprefix("!") for line in (REPOSITORY / ".dockerignore").read_text().splitlines()}
    assert {str(Path(package).parent) for package in packages} <= let_in
