"""python -m chaos: kill everything in turn while jobs run, count what became of them; exit 1 unless nothing was lost."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from chaos import queue_disk, run
from chaos.client import ANSWER_LIMIT_S
from chaos.queue_disk import NoDisk
from chaos.run import Outcome

REPORT = Path("build/chaos.json")
SHOWN_FAULTS = 20


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
    verdict = outcome.verdict
    report = {
        "jobs": options.jobs,
        "lost": len(verdict.lost),
        "duplicated": len(verdict.duplicated),
        "stuck": len(verdict.stuck),
        **outcome.facts,
        "faults": {"lost": verdict.lost, "duplicated": verdict.duplicated, "stuck": verdict.stuck},
    }
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=2) + "\n")
    _show(options.jobs, outcome, console)
    console.print(f"{REPORT} written after {outcome.facts['spent_s']:.0f} s; the logs are in {run.LOGS}")
    return 0 if verdict.holds else 1


def _show(jobs: int, outcome: Outcome, console: Console) -> None:
    verdict, facts = outcome.verdict, outcome.facts
    kills = ", ".join(f"{role} {count}" for role, count in sorted(facts["kills"].items()))
    table = Table("what", "count", "goal")
    table.add_row("jobs", str(jobs), "")
    for name, faults in (("lost", verdict.lost), ("duplicated", verdict.duplicated), ("stuck", verdict.stuck)):
        table.add_row(name, str(len(faults)), "0", style="red" if faults else None)
    table.add_row("kills", kills, "")
    table.add_row("disk full", f"{facts['disk_full_s']:g} s", "")
    console.print(table)
    for fault in (*verdict.lost, *verdict.duplicated, *verdict.stuck)[:SHOWN_FAULTS]:
        console.print(fault, style="red", highlight=False, markup=False)


if __name__ == "__main__":
    sys.exit(main())
