"""Runs measurements, prints one table with the goal beside each figure, and writes the report."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.figures import Goal, Measured, NotRun


@dataclass(frozen=True, slots=True)
class Measurement:
    name: str
    goals: tuple[Goal, ...]
    measure: Callable[[AbstractSet[str]], Measured]
    """Gets the names of the figures that are wanted; others may be left out."""

    @property
    def figures(self) -> set[str]:
        return {goal.name for goal in self.goals}


def run(measurements: Sequence[Measurement], wanted: AbstractSet[str], path: Path) -> int:
    """0; 1 where a figure could not be had; 2 where there is no such figure. Nothing wanted: all of them."""
    console = Console()
    known = set().union(*(measurement.figures for measurement in measurements))
    if unknown := wanted - known:
        console.print(f"No such figure: {', '.join(sorted(unknown))}. There are {', '.join(sorted(known))}.")
        return 2
    rows: list[dict[str, Any]] = []
    details: dict[str, Any] = {}
    began = time.monotonic()
    for measurement in measurements:
        chosen = [goal for goal in measurement.goals if not wanted or goal.name in wanted]
        if not chosen:
            continue
        console.print(f"measuring {', '.join(goal.name for goal in chosen)}", style="dim")
        measured, problem = _measured(measurement, {goal.name for goal in chosen})
        rows += [_row(goal, measured, problem) for goal in chosen]
        details[measurement.name] = measured.details if measured else {"not_run": problem}
    report = {
        "figures": {row["name"]: row for row in rows},
        "details": details,
        "machine": {"cores": os.cpu_count(), "load_at_end": os.getloadavg()[0]},
        "spent_s": round(time.monotonic() - began, 1),
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n")
    console.print(_table(rows))
    console.print(f"{path} written after {report['spent_s']:.0f} s on {os.cpu_count()} cores")
    return 1 if any(row["value"] is None for row in rows) else 0


def _measured(measurement: Measurement, wanted: AbstractSet[str]) -> tuple[Measured | None, str]:
    try:
        return measurement.measure(wanted), ""
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
        is_missed = row["value"] is None or row["met"] is False
        value = "not run" if row["value"] is None else f"{row['value']:.2f}"
        met = row["problem"] if row["value"] is None else {True: "yes", False: "no", None: ""}[row["met"]]
        table.add_row(row["name"], value, row["goal"], met, style="red" if is_missed else None)
    return table
