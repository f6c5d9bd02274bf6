"""What a run leaves: its JSON, its table and its exit code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from chaos.verdict import Verdict

SHOWN_FAULTS = 20


@dataclass(frozen=True, slots=True)
class Outcome:
    verdict: Verdict
    facts: Mapping[str, Any]
    """With `kills`, by what was killed."""


def write(path: Path, jobs: int, outcome: Outcome) -> None:
    verdict = outcome.verdict
    report = {
        "jobs": jobs,
        "lost": len(verdict.lost),
        "duplicated": len(verdict.duplicated),
        "stuck": len(verdict.stuck),
        **outcome.facts,
        "faults": {"lost": verdict.lost, "duplicated": verdict.duplicated, "stuck": verdict.stuck},
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n")


def show(jobs: int, outcome: Outcome, console: Console, *further: tuple[str, str]) -> None:
    """further: rows, each a name and a figure."""
    verdict = outcome.verdict
    kills = ", ".join(f"{victim} {count}" for victim, count in sorted(outcome.facts["kills"].items()))
    table = Table("what", "count", "goal")
    table.add_row("jobs", str(jobs), "")
    for name, faults in (("lost", verdict.lost), ("duplicated", verdict.duplicated), ("stuck", verdict.stuck)):
        table.add_row(name, str(len(faults)), "0", style="red" if faults else None)
    for row in (("kills", kills), *further):
        table.add_row(*row, "")
    console.print(table)
    for fault in (*verdict.lost, *verdict.duplicated, *verdict.stuck)[:SHOWN_FAULTS]:
        console.print(fault, style="red", highlight=False, markup=False)
