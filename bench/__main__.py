"""python -m bench [FIGURE…]: measure, print one table, write build/bench.json; exit 1 when a figure was not run."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

from bench import decode, healthz, latency, pipeline_ratio, queue_ratio, report, speedup, upload_memory
from bench.report import Measurement

MODULES: tuple[ModuleType, ...] = (latency, decode, queue_ratio, pipeline_ratio, speedup, upload_memory, healthz)
REPORT = Path("build/bench.json")


def main(wanted: list[str]) -> int:
    return report.run([_measurement(module) for module in MODULES], set(wanted), REPORT)


def _measurement(module: ModuleType) -> Measurement:
    """Its figures come of one run, whichever are wanted."""
    return Measurement(module.__name__.removeprefix("bench."), module.GOALS, lambda _: module.measure())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
