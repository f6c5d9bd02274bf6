"""Carries the plan out: SIGKILL on the node, and pods deleted without any grace."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.e2e.cluster.commands import run as run_command
from tests.e2e.cluster.errors import ClusterError
from tests.e2e.cluster.providers import Provider
from tests.e2e.objects import Objects

from chaos.cluster.parts import PARTS, Part, kills

LEAST_KILLS = 2
"""Of each part: once its processes, and once its pod too."""
VICTIM_WAIT_S = 60.0
POLL_S = 0.2
_KILL_LIMIT_S = 30.0
_COMPONENT = "app.kubernetes.io/component"
_SERVER = "whisper-server"
# $1: in the control group of what is to be killed; $2: its name; one of them may be empty. The pause container is the
# pod's network and would take it along. Prints how many there were.
KILL_SCRIPT = """\
[ -n "$1$2" ] || exit 2
killed=0
for process in /proc/[0-9]*; do
  name=$(cat "$process/comm" 2>/dev/null) || continue
  case "$name" in pause) continue ;; esac
  if [ -n "$2" ] && [ "$name" != "$2" ]; then continue; fi
  if [ -n "$1" ] && ! grep -q "$1" "$process/cgroup" 2>/dev/null; then continue; fi
  kill -9 "${process#/proc/}" && killed=$((killed + 1))
done
echo "$killed"
"""


@dataclass(frozen=True, slots=True)
class Targets:
    provider: Provider
    platform: Objects
    speech: Objects
    """Namespace of the WhisperServer under load."""


class Killing:
    def __init__(self, targets: Targets, tell: Callable[[str], None]) -> None:
        self.kills: Counter[Part] = Counter()
        self._targets = targets
        self._tell = tell

    async def run(self, seed: int, enough: asyncio.Event) -> None:
        """Ends after the kill at which there was enough."""
        for pause_s, part in kills(seed):
            if enough.is_set() and all(self.kills[each] >= LEAST_KILLS for each in PARTS):
                return
            await asyncio.sleep(pause_s)
            await asyncio.to_thread(self._kill, part)
            self.kills[part] += 1

    def _kill(self, part: Part) -> None:
        """Returns when something has died of it; raises ClusterError when nothing was there for too long."""
        deadline = time.monotonic() + VICTIM_WAIT_S
        while time.monotonic() < deadline:
            if self._killed(part):
                self._tell(f"{part} killed")
                return
            time.sleep(POLL_S)
        raise ClusterError(f"There was no {part} to kill within {VICTIM_WAIT_S:g} s. See the pods of the cluster.")

    def _killed(self, part: Part) -> bool:
        if part == "kubelet":
            return self._signal("", part)
        pod = self._pod(part)
        if pod is None:
            return False
        group = "pod" + pod["metadata"]["uid"].replace("-", "[-_]")
        if part == _SERVER:
            return self._signal(group, part)
        was_alive = self._signal(group, "")
        # Every second time the pod goes too, and a new one begins: the kubelet waits longer before each restart of a
        # container, and would soon be all that is measured.
        if was_alive and (part == "whisper-pod" or self.kills[part] % 2 == 1):
            self._delete(part, pod["metadata"]["name"])
        return was_alive

    def _pod(self, part: Part) -> dict[str, Any] | None:
        """The one whose turn it is of those that run."""
        objects, component = self._where(part)
        listed = objects.kubectl("get", "pods", f"--selector={_COMPONENT}={component}", "--output=json")
        pods = [
            pod
            for pod in json.loads(listed)["items"]
            if pod["status"].get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]
        ]
        return pods[self.kills[part] % len(pods)] if pods else None

    def _delete(self, part: Part, pod: str) -> None:
        objects, _ = self._where(part)
        # A StatefulSet's pod is not forced: two of the same name could then hold one volume.
        grace = () if part == "nats" else ("--force", "--grace-period=0")
        objects.kubectl("delete", "pod", pod, "--wait=false", *grace)

    def _where(self, part: Part) -> tuple[Objects, str]:
        if part in ("whisper-pod", _SERVER):
            return self._targets.speech, "worker"
        return self._targets.platform, part

    def _signal(self, group: str, name: str) -> bool:
        command = self._targets.provider.inside("sh", "-c", KILL_SCRIPT, "kill", group, name)
        return int(run_command(command, limit_s=_KILL_LIMIT_S)) > 0
