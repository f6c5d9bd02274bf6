"""python -m bench.operator [FIGURE…]: measure, print one table, write build/bench-operator.json.

A word stands for every figure that begins with it. Exit 1 when a figure was not run.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from bench import report
from bench.operator import installed, population
from bench.report import Measurement

REPORT = Path("build/bench-operator.json")
MEASUREMENTS = (
    *(
        Measurement(f"servers_{servers}", population.goals(prefix), partial(population.measure, servers, prefix))
        for servers, prefix in ((500, ""), (2000, "servers_2000_"))
    ),
    Measurement("installed", installed.GOALS, installed.measure),
)


def main(words: list[str]) -> int:
    return report.run(MEASUREMENTS, chosen(words), REPORT)


def chosen(words: list[str]) -> set[str]:
    """Figures; a word that stands for none is one of them."""
    known = set().union(*(measurement.figures for measurement in MEASUREMENTS))
    return {name for word in words for name in ({each for each in known if each.startswith(word)} or {word})}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
