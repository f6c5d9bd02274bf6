"""python -m chaos.cluster: kill every part of the platform in turn while jobs run; exit 1 unless nothing was lost."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from rich.console import Console
from tests.e2e import installation
from tests.e2e.cluster import providers
from tests.e2e.cluster.errors import ClusterError

from chaos import report
from chaos.client import ANSWER_LIMIT_S
from chaos.cluster import run

REPORT = Path("build/chaos-cluster.json")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m chaos.cluster", description=__doc__)
    parser.add_argument("--jobs", type=int, default=300, help="uploads while parts are killed (default: 300)")
    parser.add_argument("--seed", type=int, default=1, help="of the order and the pauses of the kills (default: 1)")
    options = parser.parse_args()
    console = Console()
    try:
        return _in_cluster(providers.asked_for(), options.jobs, options.seed, console)
    except ClusterError as error:
        console.print(str(error), style="red", highlight=False, markup=False)
        return 2


def _in_cluster(provider: providers.Provider, jobs: int, seed: int, console: Console) -> int:
    cluster = providers.up(provider, console)
    try:
        provider.inside()  # one whose node is out of reach is refused before anything is installed
        installation.ensure(cluster, console)
        outcome = asyncio.run(run.chaos(cluster, provider, jobs, seed, console))
    except TimeoutError:
        run.tell_what_there_was(cluster, provider, console)
        console.print(f"The gateway answered nothing for {ANSWER_LIMIT_S:g} s.", style="red")
        return 1
    finally:
        if not installation.is_kept():
            providers.down()
    report.write(REPORT, jobs, outcome)
    report.show(jobs, outcome, console)
    console.print(f"{REPORT} written after {outcome.facts['spent_s']:.0f} s")
    return 0 if outcome.verdict.holds else 1


if __name__ == "__main__":
    sys.exit(main())
