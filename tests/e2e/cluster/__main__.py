"""`python -m tests.e2e.cluster`: the cluster that the e2e tests run on."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console

from . import cluster as clusters
from . import paths, providers
from .collect import collect as collect_all
from .errors import ClusterError
from .images import IMAGES, NATS

app = typer.Typer(help="The cluster that the e2e tests run on.", no_args_is_help=True, add_completion=False)
console = Console(stderr=True)


@contextmanager
def told() -> Iterator[None]:
    try:
        yield
    except ClusterError as error:
        console.print(str(error), markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)


@app.command()
def up(
    provider: Annotated[str | None, typer.Option(help="kind, node or context; left out, the first that works.")] = None,
    context: Annotated[str | None, typer.Option(help="An existing context, to be used as it is.")] = None,
) -> None:
    """Bring the cluster up, or keep the one that is."""
    with told():
        start = time.monotonic()
        cluster = providers.up(providers.choose(provider, context), console)
        took_s = time.monotonic() - start
    console.print(
        f"{cluster.context} is ready after {took_s:.1f} s. Next: export KUBECONFIG={cluster.kubeconfig}, "
        f"programs in {paths.PROGRAM_LINKS}.",
        highlight=False,
        soft_wrap=True,
    )


@app.command()
def down() -> None:
    """Take the cluster down; a context that was not made here is only forgotten."""
    with told():
        providers.down()


@app.command()
def status() -> None:
    """Say which cluster is up, and its pods."""
    with told():
        cluster = clusters.current()
        console.print(f"{cluster.context} ({cluster.provider}), kubeconfig {cluster.kubeconfig}", soft_wrap=True)
        typer.echo(cluster.kubectl("get", "pods", "-A"), nl=False)


@app.command()
def images(
    names: Annotated[list[str] | None, typer.Argument(help=f"Of {', '.join([*IMAGES, NATS])}.")] = None,
) -> None:
    """Build images and put them into the cluster; all of them where none is named."""
    with told():
        providers.load_images(names or [*IMAGES, NATS], console)


@app.command()
def collect() -> None:
    """Write objects, events and logs below build/collected."""
    with told():
        cluster = clusters.current()
        folder = collect_all(providers.provider_of(cluster).logs(), cluster)
    console.print(str(folder), highlight=False, soft_wrap=True)


if __name__ == "__main__":
    app()
