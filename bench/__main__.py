"""python -m bench [FIGURE…]: measure, print one table, write build/bench.json; exit 1 when a figure was not run."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import decode, healthz, latency, pipeline_ratio, queue_ratio, speedup, upload_memory
from bench.figures import Goal, Measured, NotRun

MODULES: tuple[ModuleType, ...] = (latency, decode, queue_ratio, pipeline_ratio, speedup, upload_memory, healthz)
REPORT = Path("build/bench.json")


def main(wanted: list[str]) -> int:
    console = Console()
    known = {goal.name for module in MODULES for goal in module.GOALS}
    if unknown := set(wanted) - known:
        console.print(f"No such figure: {', '.join(sorted(unknown))}. There are {', '.join(sorted(known))}.")
        return 2
    chosen = [module for module in MODULES if not wanted or {goal.name for goal in module.GOALS} & set(wanted)]
    rows: list[dict[str, Any]] = []
    details: dict[str, Any] = {}
    began = time.monotonic()
    for module in chosen:
        console.print(f"measuring {', '.join(goal.name for goal in module.GOALS)}", style="dim")
        measured, problem = _measured(module)
        rows += [_row(goal, measured, problem) for goal in module.GOALS]
        details[module.__name__.removeprefix("bench.")] = measured.details if measured else {"not_run": problem}
    report = {
        "figures": {row["name"]: row for row in rows},
        "details": details,
        "machine": {"cores": os.cpu_count(), "load_at_end": os.getloadavg()[0]},
        "spent_s": round(time.monotonic() - began, 1),
    }
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=2) + "\n")
    console.print(_table(rows))
    console.print(f"{REPORT} written after {report['spent_s']:.0f} s on {os.cpu_count()} cores")
    return 1 if any(row["value"] is None for row in rows) else 0


def _measured(module: ModuleType) -> tuple[Measured | None, str]:
    try:
        return module.measure(), ""
    # One figure that cannot be had must not take the others with it.
    except (NotRun, RuntimeError, OSError) as error:
        return None, str(error)


def _row(goal: Goal, measured: Measured | None, problem: str) -> dict[str, Any]:
    value = measured.values[goal.name] if measured else None
    met = goal.is_met(value) if value is not None else None
    return {"name": goal.name, "value": value, "goal": str(goal), "met": met, "problem": problem}


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table("figure", "value", "goal", "met")
    for row in rows:
        value = "not run" if row["value"] is None else f"{row['value']:.2f}"
        met = {True: "yes", False: "no", None: row["problem"]}[row["met"]]
        table.add_row(row["name"], value, row["goal"], met, style="red" if row["met"] is not True else None)
    return table


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
