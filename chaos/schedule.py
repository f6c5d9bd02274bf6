"""What is done to the pipeline and when. Pure: the same seed makes the same plan."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

Role = Literal["gateway", "planner", "worker", "whisper-server", "nats-server"]
ROLES: tuple[Role, ...] = get_args(Role)
Action = Literal[Role, "fill-disk", "free-disk"]
"""free-disk: nothing else is done; that nats-server stores again is for the pipeline to see to."""

SHORTEST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 8.0
FULL_IN_ROUND = 2


@dataclass(frozen=True, slots=True)
class Step:
    pause_s: float
    """Before the action."""
    action: Action


def steps(seed: int) -> Iterator[Step]:
    """Without end: rounds in which every role is killed once, in an order of their own; the disk is full in one."""
    rng = random.Random(seed)  # noqa: S311  a plan, not a secret
    number = 0
    while True:
        order = rng.sample(ROLES, len(ROLES))
        is_full = number == FULL_IN_ROUND
        round_: list[Action] = ["fill-disk", *order, "free-disk"] if is_full else [*order]
        for action in round_:
            yield Step(rng.uniform(SHORTEST_PAUSE_S, LONGEST_PAUSE_S), action)
        number += 1
