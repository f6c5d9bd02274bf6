"""The cluster with the platform on it, for all tests; a namespace of its own for each."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager

import pytest
from rich.console import Console
from tests.e2e import installation
from tests.e2e.cluster import providers
from tests.e2e.cluster.cluster import Cluster
from tests.e2e.cluster.collect import collect
from tests.e2e.cluster.errors import ClusterError
from tests.e2e.installation import PLATFORM
from tests.e2e.objects import Objects, own_namespace
from tests.e2e.speech import Gateway, forwarded


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, console: Console) -> Iterator[Cluster]:
    provider = providers.asked_for()
    with shown(request):
        found = providers.up(provider, console)
    yield found
    with shown(request):
        if request.session.testsfailed:
            console.print(f"What there was is in {collect(provider.logs(), found)}.", highlight=False, soft_wrap=True)
        if not installation.is_kept():
            providers.down()


@pytest.fixture(scope="session")
def console() -> Console:
    return Console(stderr=True)


@contextmanager
def shown(request: pytest.FixtureRequest) -> Iterator[None]:
    """What is told meanwhile is seen at once: from nothing it takes minutes before the first test begins."""
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        yield


@pytest.fixture(scope="module")
def shared_namespace(platform: Objects, cluster: Cluster) -> Iterator[Objects]:
    """For tests that leave nothing in it."""
    with own_namespace(cluster) as objects:
        yield objects


@pytest.fixture(scope="session")
def platform(request: pytest.FixtureRequest, cluster: Cluster, console: Console) -> Objects:
    """NATS, operator, planner and gateway, ready."""
    with shown(request):
        installation.ensure(cluster, console)
    return Objects(cluster, PLATFORM)


@pytest.fixture
def api_key(platform: Objects) -> str:
    """Asked for anew by each test: a definition that is deleted takes every client along."""
    platform.client("e2e")
    return platform.client_key("e2e")


@pytest.fixture
def gateway_url(platform: Objects, cluster: Cluster) -> Iterator[str]:
    with forwarded(cluster, platform.namespace, installation.GATEWAY, installation.GATEWAY_PORT) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def gateway(gateway_url: str, api_key: str) -> Gateway:
    return Gateway(gateway_url, api_key)


@pytest.fixture
def namespace(platform: Objects, cluster: Cluster) -> Iterator[Objects]:
    """Restricted Pod Security is enforced in it."""
    with own_namespace(cluster) as objects:
        yield objects


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test shows its namespace as it was: the fixture takes it away."""
    report = yield
    objects = getattr(item, "funcargs", {}).get("namespace")
    if report.when == "call" and report.failed and isinstance(objects, Objects):
        try:
            shown = objects.kubectl(
                "get", "whisperservers,whispermodels,whisperclients,deployments,jobs,pods,events", "--output", "wide"
            )
        except ClusterError as error:
            shown = str(error)
        report.sections.append(("namespace", shown))
    return report
