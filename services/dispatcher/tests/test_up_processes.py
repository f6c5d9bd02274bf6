from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from whisper_dispatcher.local.processes import Child, Command, describe_exit, log_tail, restart_delay_s

WAIT_S = 15.0
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
)
WITH_GRANDCHILD = (
    "import subprocess, sys, time; "
    "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
    "print(p.pid, flush=True); time.sleep(600)"
)


class Told(list[str]):
    pass


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
async def child_of(tmp_path: Path, told: Told) -> AsyncIterator[Callable[..., Child]]:
    children: list[Child] = []

    def make(program: str, drain_s: float = 5.0) -> Child:
        command = Command("part", (sys.executable, "-c", program), dict(os.environ), tmp_path / "part.log", drain_s)
        children.append(Child(command, told.append))
        return children[-1]

    yield make
    for child in children:
        await child.kill()


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not is_so():  # noqa: ASYNC110  another process changes it, and no event tells
            await asyncio.sleep(0.01)


def is_alive(pid: int) -> bool:
    """A zombie that nobody has reaped yet is dead."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


async def test_a_child_that_dies_is_told_and_started_again(child_of: Callable[..., Child], told: Told) -> None:
    child = child_of("import time; time.sleep(600)")
    await child.start()
    first = child.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await until(lambda: child.pid not in (None, first))
    assert told == ["part was killed by SIGKILL; starting it again in 0.5 s"]
    assert child.deaths_in_a_row == 1


@pytest.mark.parametrize(
    ("program", "also_told"),
    [
        ("print('up', flush=True); import time; time.sleep(600)", []),
        (STUBBORN, ["part did not finish within 0.1 s and is killed"]),
    ],
)
async def test_a_child_that_is_restarted_has_not_died(
    child_of: Callable[..., Child], told: Told, tmp_path: Path, program: str, also_told: list[str]
) -> None:
    child = child_of(program, drain_s=0.1 if also_told else 5.0)
    await child.start()
    first = child.pid
    await until(lambda: log_tail(tmp_path / "part.log") == ["up"])
    await child.restart("the reason")
    await until(lambda: child.pid not in (None, first))
    assert told == [*also_told, "the reason"]
    assert child.deaths_in_a_row == 0


async def test_a_child_that_drains_is_not_killed(child_of: Callable[..., Child], told: Told, tmp_path: Path) -> None:
    child = child_of(
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('drained', flush=True), sys.exit(0)))\n"
        "print('up', flush=True)\ntime.sleep(600)"
    )
    await child.start()
    await until(lambda: log_tail(tmp_path / "part.log") == ["up"])
    await child.stop()
    assert log_tail(tmp_path / "part.log") == ["up", "drained"]
    assert child.pid is None
    assert told == []


async def test_a_child_that_does_not_drain_in_time_is_killed(
    child_of: Callable[..., Child], told: Told, tmp_path: Path
) -> None:
    child = child_of(STUBBORN, drain_s=0.1)
    await child.start()
    await until(lambda: log_tail(tmp_path / "part.log") == ["up"])
    await child.stop()
    assert child.pid is None
    assert told == ["part did not finish within 0.1 s and is killed"]


async def test_what_a_child_started_ends_with_it(child_of: Callable[..., Child], tmp_path: Path) -> None:
    child = child_of(WITH_GRANDCHILD)
    await child.start()
    await until(lambda: bool(log_tail(tmp_path / "part.log")))
    grandchild = int(log_tail(tmp_path / "part.log")[0])
    await child.stop()
    await until(lambda: not is_alive(grandchild))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills the children of a dead parent")
async def test_a_child_dies_when_its_parent_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "part.log"
    parent_program = (
        "import asyncio, os, sys; from pathlib import Path; "
        "from whisper_dispatcher.local.processes import Child, Command\n"
        "async def main():\n"
        f"    child = Child(Command('part', (sys.executable, '-c', {STUBBORN!r}), os.environ, Path({str(log)!r}), 1), print)\n"
        "    await child.start()\n"
        "    print(child.pid, flush=True)\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(main())"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", parent_program, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    await until(lambda: log_tail(log) == ["up"])
    parent.kill()
    await parent.wait()
    await until(lambda: not is_alive(pid))


def test_restarts_come_slower_up_to_a_limit() -> None:
    assert [restart_delay_s(deaths) for deaths in (1, 2, 3, 9, 5000)] == [0.5, 1.0, 2.0, 15.0, 15.0]


def test_an_exit_is_told_in_words() -> None:
    assert describe_exit(3) == "ended with code 3"
    assert describe_exit(-9) == "was killed by SIGKILL"
