"""The cluster with the platform on it, for all tests; a namespace of its own for each."""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Iterator

import pytest
from rich.console import Console
from tests.e2e import installation
from tests.e2e.cluster import paths, providers
from tests.e2e.cluster.cluster import Cluster
from tests.e2e.cluster.collect import collect
from tests.e2e.cluster.images import IMAGES, NATS
from tests.e2e.installation import PLATFORM
from tests.e2e.objects import Objects, own_namespace
from tests.e2e.speech import Gateway, forwarded

KEEP = "WHISPERFLEET_KEEP_CLUSTER"
"""Set: the cluster stays, and so do its images, which are not built again."""
_NEEDED_IMAGES = (NATS, "operator", "dispatcher", "models", "whisper-worker")
_DEPLOYMENTS = ("operator", "planner", "gateway")
_CRDS = paths.CHECKOUT / "manifests" / "crds"
_ROLLOUT_LIMIT_S = 180.0


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    console = Console(stderr=True)
    provider = providers.choose(os.environ.get("WHISPERFLEET_PROVIDER"), os.environ.get("WHISPERFLEET_CONTEXT"))
    found = providers.up(provider, console)
    yield found
    if request.session.testsfailed:
        console.print(f"What there was is in {collect(provider.logs(), found)}.", highlight=False, soft_wrap=True)
    if KEEP not in os.environ:
        providers.down()


@pytest.fixture(scope="session")
def kinds(cluster: Cluster) -> None:
    """Our kinds, known to the API server. Plain `apply`, as people do it."""
    cluster.kubectl("apply", "--filename", _CRDS)
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "--filename", _CRDS)


@pytest.fixture(scope="module")
def bare_namespace(cluster: Cluster, kinds: None) -> Iterator[Objects]:
    """For what needs the API server alone; where the platform runs, its operator sees it."""
    with own_namespace(cluster) as objects:
        yield objects


@pytest.fixture(scope="session")
def platform(cluster: Cluster, kinds: None) -> Objects:
    """NATS, operator, planner and gateway, ready."""
    objects = Objects(cluster, PLATFORM)
    if KEEP not in os.environ or not objects.get("deployment", "operator"):
        providers.load_images([name for name in _NEEDED_IMAGES if name == NATS or name in IMAGES], Console(stderr=True))
    everything = {"apiVersion": "v1", "kind": "List", "items": installation.manifests(cluster.uid)}
    cluster.kubectl("apply", "--filename", "-", text=json.dumps(everything))
    for target in ("statefulset/nats", *(f"deployment/{name}" for name in _DEPLOYMENTS)):
        objects.kubectl("rollout", "status", target, f"--timeout={_ROLLOUT_LIMIT_S:g}s", limit_s=_ROLLOUT_LIMIT_S + 5)
    return objects


@pytest.fixture(scope="session")
def api_key(platform: Objects, cluster: Cluster) -> str:
    password = installation.password(cluster.uid, "admin")
    admin = ["env", "WHISPERFLEET_NATS_USER=admin", f"WHISPERFLEET_NATS_PASSWORD={password}"]
    created = platform.kubectl("exec", "deployment/gateway", "--", *admin, "whisperfleet", "clients", "create", "e2e")
    return created.strip()


@pytest.fixture
def gateway(platform: Objects, cluster: Cluster, api_key: str) -> Iterator[Gateway]:
    with forwarded(cluster, platform.namespace, "service/gateway", 8080) as port:
        yield Gateway(f"http://127.0.0.1:{port}", api_key)


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
        shown = objects.kubectl("get", "whisperservers,deployments,jobs,pods,events", "--output", "wide")
        report.sections.append(("namespace", shown))
    return report
