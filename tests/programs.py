"""Programs of the distribution that tests drive."""

from __future__ import annotations

import os
import shutil

import pytest

REQUIRED = "WHISPERFLEET_REQUIRE_PROGRAMS"
"""Set where a missing program is an error, as in .ci/run."""


def program(name: str, package: str = "") -> str:
    """Its path; where it is missing the test is skipped, or fails. package: where it is not named like the program."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if found:
        return found
    missing = f"{name} is missing; install it with `apt-get install {package or name}`"
    if os.environ.get(REQUIRED):
        pytest.fail(missing)
    pytest.skip(missing)
