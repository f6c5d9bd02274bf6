"""Provider `kind`: a cluster in Docker containers."""

from __future__ import annotations

import shutil
from pathlib import Path

from rich.console import Console

from . import paths
from .cluster import recorded
from .commands import Argument, run
from .errors import ClusterError
from .programs import ensure_programs

CLUSTER_NAME = "whisperfleet-e2e"
_UP_LIMIT_S = 600.0
_DOWN_LIMIT_S = 120.0
_LOAD_LIMIT_S = 300.0


class KindProvider:
    name = "kind"
    context = f"kind-{CLUSTER_NAME}"

    def up(self, console: Console) -> None:
        kind = _program(console)
        if CLUSTER_NAME in run([kind, "get", "clusters"], limit_s=_DOWN_LIMIT_S).split():
            if not _is_recorded():
                raise ClusterError(
                    f"Docker already runs a kind cluster {CLUSTER_NAME} that this checkout did not make, so it is left "
                    f"alone. Remove it with `kind delete cluster --name {CLUSTER_NAME}`, "
                    f"or use it as it is with --context {self.context}."
                )
            self.down()
        console.print(f"Creating the kind cluster {CLUSTER_NAME}", highlight=False)
        create: list[Argument] = ["create", "cluster", "--name", CLUSTER_NAME, "--config", paths.KIND_CONFIG]
        run([kind, *create, "--kubeconfig", paths.KUBECONFIG, "--wait", "300s"], limit_s=_UP_LIMIT_S)

    def down(self) -> None:
        # Deleting a cluster that is not there succeeds.
        kind = _program(Console(stderr=True))
        run(
            [kind, "delete", "cluster", "--name", CLUSTER_NAME, "--kubeconfig", paths.KUBECONFIG], limit_s=_DOWN_LIMIT_S
        )

    def load_image(self, archive: Path) -> None:
        kind = _program(Console(stderr=True))
        run([kind, "load", "image-archive", archive, "--name", CLUSTER_NAME], limit_s=_LOAD_LIMIT_S)

    def inside(self, *command: Argument) -> list[Argument]:
        return ["docker", "exec", f"{CLUSTER_NAME}-worker", *command]

    def logs(self) -> dict[str, Path]:
        return {}


def _is_recorded() -> bool:
    cluster = recorded()
    return cluster is not None and cluster.provider == KindProvider.name


def _program(console: Console) -> Path:
    """The one on the PATH, else ours."""
    if installed := shutil.which("kind"):
        return Path(installed)
    return ensure_programs(["kind"], console)["kind"]
