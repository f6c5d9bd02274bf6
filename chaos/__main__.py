"""python -m chaos: kill everything in turn while jobs run, count what became of them; exit 1 unless nothing was lost."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from rich.console import Console

from chaos import queue_disk, report, run
from chaos.client import ANSWER_LIMIT_S
from chaos.queue_disk import NoDisk

REPORT = Path("build/chaos.json")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--jobs", type=int, default=200, help="uploads while processes are killed (default: 200)")
    parser.add_argument("--seed", type=int, default=1, help="of the order and the pauses of the kills (default: 1)")
    options = parser.parse_args()
    console = Console()
    try:
        queue_disk.enter_namespace()
        outcome = asyncio.run(run.chaos(options.jobs, options.seed, run.prepared(console), console))
    except NoDisk as error:
        console.print(str(error), style="red", highlight=False, markup=False)
        return 2
    except TimeoutError:
        console.print(f"The gateway answered nothing for {ANSWER_LIMIT_S:g} s; the logs are in {run.LOGS}", style="red")
        return 1
    report.write(REPORT, options.jobs, outcome)
    report.show(options.jobs, outcome, console, ("disk full", f"{outcome.facts['disk_full_s']:g} s"))
    console.print(f"{REPORT} written after {outcome.facts['spent_s']:.0f} s; the logs are in {run.LOGS}")
    return 0 if outcome.verdict.holds else 1


if __name__ == "__main__":
    sys.exit(main())
