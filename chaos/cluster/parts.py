"""What is killed, and when. Pure: the same seed makes the same plan."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Literal, get_args

Part = Literal["whisper-pod", "whisper-server", "operator", "gateway", "planner", "nats", "kubelet"]
PARTS: tuple[Part, ...] = get_args(Part)

SHORTEST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 8.0


def kills(seed: int) -> Iterator[tuple[float, Part]]:
    """Without end: seconds to wait, and what is killed then. Each part once a round, in an order of its own."""
    rng = random.Random(seed)  # noqa: S311  a plan, not a secret
    while True:
        for part in rng.sample(PARTS, len(PARTS)):
            yield rng.uniform(SHORTEST_PAUSE_S, LONGEST_PAUSE_S), part
