"""Kubernetes quantities: `500m`, `1.5Gi`, `2`."""

from __future__ import annotations

import math
import re
from fractions import Fraction

_SUFFIXES = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "": Fraction(1),
    **{suffix: Fraction(1000**power) for power, suffix in enumerate("kMGTPE", start=1)},
    **{f"{suffix}i": Fraction(1024**power) for power, suffix in enumerate("KMGTPE", start=1)},
}
_FORM = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|([numkMGTPE]i?|Ki|))")


def parse_quantity(text: str | int | float) -> Fraction:
    """Raises ValueError with a sentence for people."""
    match = _FORM.fullmatch(str(text))
    if match is None or (match[3] or "") not in _SUFFIXES:
        raise ValueError(f"{text!r} is no quantity: write it like 500m, 2 or 1.5Gi")
    return Fraction(match[1] + (match[2] or "")) * _SUFFIXES[match[3] or ""]


def is_quantity(text: object) -> bool:
    try:
        parse_quantity(text)  # type: ignore[arg-type]  # anything else has no form of a number
    except ValueError:
        return False
    return True


def whole_cores(text: str) -> int:
    """Rounded up, at least one."""
    return max(1, math.ceil(parse_quantity(text)))
