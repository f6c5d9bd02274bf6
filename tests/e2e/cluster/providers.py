"""Which kind of cluster, and its life: up, down, images in."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from rich.console import Console

from whisper_models.cache import exclusive_lock

from . import cluster as clusters
from . import node, paths
from .cluster import Cluster
from .collect import collect
from .commands import Argument
from .errors import ClusterError
from .existing import ContextProvider
from .image_build import Buildah, Builder, Docker, docker_works
from .images import build_images
from .kind import KindProvider
from .node import NodeProvider
from .node_images import ensure_base_images
from .programs import client_programs, link_programs


class Provider(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def context(self) -> str:
        """Its name in the kubeconfig that `up` writes."""
        ...

    def up(self, console: Console) -> None:
        """Leaves a ready cluster and the kubeconfig."""
        ...

    def down(self) -> None: ...

    def load_image(self, archive: Path) -> None: ...

    def inside(self, *command: Argument) -> list[Argument]:
        """The command, to be run on the node that holds the pods; raises ClusterError."""
        ...

    def logs(self) -> dict[str, Path]:
        """Logs of the cluster's own daemons, where it has them as files."""
        ...


def choose(name: str | None, context: str | None) -> Provider:
    """The provider that was asked for, else the first that works here."""
    if context is not None:
        if name not in (None, ContextProvider.name):
            raise ClusterError(f"--context {context} names an existing cluster; leave out --provider {name}.")
        return ContextProvider(context)
    match name:
        case KindProvider.name:
            return KindProvider()
        case NodeProvider.name:
            return NodeProvider()
        case ContextProvider.name:
            raise ClusterError("The provider context needs the name of one: --context NAME.")
        case None:
            return _first_that_works()
    raise ClusterError(f"There is no provider {name!r}. Choose kind, node or context.")


def asked_for() -> Provider:
    """The one that the environment names, else the first that works here."""
    return choose(os.environ.get("WHISPERFLEET_PROVIDER"), os.environ.get("WHISPERFLEET_CONTEXT"))


def _first_that_works() -> Provider:
    if docker_works():
        return KindProvider()
    if (obstacle := node.obstacle()) is None:
        return NodeProvider()
    raise ClusterError(
        f"There is no cluster to test on: Docker does not answer, and a node cannot run here ({obstacle}). "
        "Start Docker, run as root on Debian, or name an existing cluster with --context NAME."
    )


def provider_of(cluster: Cluster) -> Provider:
    return choose(cluster.provider, cluster.context if cluster.provider == ContextProvider.name else None)


def kept(provider: Provider) -> Cluster | None:
    """The cluster that an earlier `up` brought and that still answers; raises ClusterError if it is of another kind."""
    recorded = clusters.recorded()
    if recorded is None:
        return None
    if (recorded.provider, recorded.context) != (provider.name, provider.context):
        raise ClusterError(
            f"The cluster {recorded.context} ({recorded.provider}) is up. Run `make cluster-down` before another."
        )
    try:
        return clusters.current()
    except ClusterError:
        return None  # it ended without `down`, for instance with the machine


def up(provider: Provider, console: Console) -> Cluster:
    """A ready cluster; one that was brought up before and still answers is kept."""
    paths.CLUSTER.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(paths.CLUSTER / ".lock"):
        link_programs(client_programs(console))
        if (cluster := kept(provider)) is not None:
            return cluster
        try:
            provider.up(console)
        except ClusterError as error:
            folder = collect(provider.logs(), _unrecorded(provider))
            provider.down()
            raise ClusterError(f"{error}\nThe logs are in {folder}.") from error
        return clusters.record(provider.name, provider.context)


def _unrecorded(provider: Provider) -> Cluster | None:
    """A cluster that did not get ready, where its API server answers nevertheless."""
    try:
        return Cluster(provider.name, provider.context, clusters.cluster_uid(paths.KUBECONFIG))
    except ClusterError:
        return None


def down() -> None:
    if not paths.CLUSTER.exists():
        return  # nothing was ever brought up from this checkout
    with exclusive_lock(paths.CLUSTER / ".lock"):
        cluster = clusters.recorded()
        if cluster is not None:
            provider_of(cluster).down()
        elif paths.NODE.exists():  # it never came up
            NodeProvider().down()
        clusters.forget()


def load_images(names: Iterable[str], console: Console) -> None:
    """Builds the project's images and puts them into the cluster."""
    provider = provider_of(clusters.current())
    for archive in build_images(names, _builder(provider, console), console):
        provider.load_image(archive)


def _builder(provider: Provider, console: Console) -> Builder:
    if isinstance(provider, KindProvider):
        return Docker()
    ensure_base_images(console)
    return Buildah()
