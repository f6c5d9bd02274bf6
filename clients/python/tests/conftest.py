from __future__ import annotations

from collections.abc import Iterator

import fleet_harness
import pytest
from fleet_harness import Fleet


@pytest.fixture(scope="session")
def shared_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with fleet_harness.running(tmp_path_factory.mktemp("fleet"), delay_ms=100) as started:
        yield started


@pytest.fixture
def fleet(shared_fleet: Fleet) -> Fleet:
    """Ready, even if the test before has killed a part of it."""
    shared_fleet.wait_ready()
    return shared_fleet
