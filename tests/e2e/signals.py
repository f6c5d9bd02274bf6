"""Signals to what runs in a pod, from the node: a process may not stop or kill the first one of its own container."""

from __future__ import annotations

from typing import Literal

from tests.e2e.cluster import providers
from tests.e2e.cluster.commands import run
from tests.e2e.objects import Manifest

_LIMIT_S = 30.0
# $1: signal; $2: in the control group of the pod. The pause container is left alone. Prints how many there were.
_SCRIPT = """\
count=0
for process in /proc/[0-9]*; do
  [ "$(cat "$process/comm" 2>/dev/null)" = pause ] && continue
  grep -q "$2" "$process/cgroup" 2>/dev/null || continue
  kill "-$1" "${process#/proc/}" && count=$((count + 1))
done
echo "$count"
"""


def send(signal: Literal["KILL", "STOP", "CONT"], pod: Manifest) -> None:
    group = "pod" + pod["metadata"]["uid"].replace("-", "[-_]")
    command = providers.asked_for().inside("sh", "-c", _SCRIPT, "signal", signal, group)
    assert int(run(command, limit_s=_LIMIT_S)) > 0, f"Nothing runs in {pod['metadata']['name']}."
