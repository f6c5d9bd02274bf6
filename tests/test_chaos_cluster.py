from __future__ import annotations

import itertools
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from chaos.cluster.killing import KILL_SCRIPT
from chaos.cluster.parts import LONGEST_PAUSE_S, PARTS, SHORTEST_PAUSE_S, kills


def signal(group: str, name: str) -> subprocess.CompletedProcess[str]:
    command = ["sh", "-c", KILL_SCRIPT, "kill", group, name]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture
def sleeper(tmp_path: Path) -> str:
    """A program with a name that no other has (15 letters are kept)."""
    name = f"s-{tmp_path.name[-8:]}-{id(tmp_path) % 9999}"[:15]
    shutil.copy(shutil.which("sleep") or "sleep", tmp_path / name)
    return str(tmp_path / name)


def test_the_named_process_dies_at_once_and_is_counted(sleeper: str) -> None:
    with subprocess.Popen([sleeper, "60"]) as process:
        assert signal("", Path(sleeper).name).stdout.strip() == "1"
        assert process.wait(timeout=10) == -9


def test_a_process_outside_the_control_group_lives_on(sleeper: str) -> None:
    with subprocess.Popen([sleeper, "60"]) as process:
        assert signal("pod-of-nobody", Path(sleeper).name).stdout.strip() == "0"
        assert process.poll() is None
        process.kill()


def test_each_round_kills_every_part_once_in_another_order() -> None:
    steps = list(itertools.islice(kills(1), 4 * len(PARTS)))
    rounds = [[part for _, part in steps[start : start + len(PARTS)]] for start in range(0, len(steps), len(PARTS))]
    assert all(Counter(each) == Counter(PARTS) for each in rounds)
    assert len({tuple(each) for each in rounds}) == 4
    assert all(SHORTEST_PAUSE_S <= pause_s <= LONGEST_PAUSE_S for pause_s, _ in steps)


def test_the_same_seed_makes_the_same_plan_of_kills() -> None:
    assert list(itertools.islice(kills(7), 20)) == list(itertools.islice(kills(7), 20))
    assert list(itertools.islice(kills(7), 20)) != list(itertools.islice(kills(8), 20))
