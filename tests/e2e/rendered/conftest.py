from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console
from tests.e2e.cluster.cluster import Cluster
from tests.e2e.cluster.programs import client_programs
from tests.e2e.kinds import write_schemas
from tests.e2e.objects import Objects
from tests.e2e.rendered.charts import Helm


@pytest.fixture(scope="session")
def tools() -> dict[str, Path]:
    return client_programs(Console(stderr=True))


@pytest.fixture(scope="session")
def schemas(cluster: Cluster, platform: Objects, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_schemas(json.loads(cluster.kubectl("get", "--raw", "/openapi/v2")), tmp_path_factory.mktemp("kinds"))


@pytest.fixture
def helm(tools: dict[str, Path], tmp_path: Path) -> Helm:
    return Helm(tools["helm"], tmp_path)
