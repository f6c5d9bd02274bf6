"""The cluster that this checkout uses, and the record of which one it is.

Nothing here reads KUBECONFIG or a current context: commands go only to the cluster in the record,
and only while it is the same one that was recorded.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from . import paths
from .commands import Argument, run
from .errors import ClusterError

_ASK_LIMIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Cluster:
    provider: str
    context: str
    uid: str
    """UID of its namespace kube-system: another cluster behind the same address has another."""
    kubeconfig: Path = paths.KUBECONFIG

    @property
    def is_ours(self) -> bool:
        """Made here, so it may be taken down."""
        return self.provider != "context"

    def kubectl(self, *arguments: Argument, limit_s: float = 60.0, text: str | None = None) -> str:
        return kubectl(self.kubeconfig, *arguments, limit_s=limit_s, text=text)


def kubectl(kubeconfig: Path, *arguments: Argument, limit_s: float = 60.0, text: str | None = None) -> str:
    return run([program("kubectl"), "--kubeconfig", kubeconfig, *arguments], limit_s=limit_s, text=text)


def program(name: str) -> Path:
    """One of the pinned programs, as `up` left it in build/cluster/bin."""
    path = paths.PROGRAM_LINKS / name
    if not path.exists():
        raise ClusterError(f"There is no {name} in {paths.PROGRAM_LINKS}. Run `make cluster-up` first.")
    return path


def cluster_uid(kubeconfig: Path) -> str:
    return kubectl(
        kubeconfig, "get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}", limit_s=_ASK_LIMIT_S
    )


def recorded() -> Cluster | None:
    """What `up` wrote down, whether or not it still answers."""
    try:
        fields = json.loads(paths.RECORD.read_text("utf-8"))
    except FileNotFoundError:
        return None
    return Cluster(provider=fields["provider"], context=fields["context"], uid=fields["uid"])


def record(provider: str, context: str) -> Cluster:
    cluster = Cluster(provider=provider, context=context, uid=cluster_uid(paths.KUBECONFIG))
    fields = {key: value for key, value in asdict(cluster).items() if key != "kubeconfig"}
    paths.RECORD.write_text(json.dumps(fields, indent=2) + "\n", "utf-8")
    return cluster


def forget() -> None:
    paths.RECORD.unlink(missing_ok=True)
    paths.KUBECONFIG.unlink(missing_ok=True)
    shutil.rmtree(paths.PROGRAM_LINKS, ignore_errors=True)


def current() -> Cluster:
    """The recorded cluster, checked to be the same one; raises ClusterError."""
    cluster = recorded()
    if cluster is None:
        raise ClusterError("There is no cluster. Run `make cluster-up` first.")
    if (found := cluster_uid(cluster.kubeconfig)) != cluster.uid:
        raise ClusterError(
            f"The cluster behind {cluster.context} is not the one that was brought up (kube-system has the UID {found}, "
            f"expected {cluster.uid}), so it is left alone. Run `make cluster-down`, then `make cluster-up`."
        )
    return cluster
