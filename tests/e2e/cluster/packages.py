"""Debian packages that the node needs; installed when missing."""

from __future__ import annotations

import shutil

from .commands import run
from .errors import ClusterError, CommandFailed

NODE_PACKAGES = (
    "buildah",
    "ca-certificates",
    "conntrack",
    "containerd",
    "containernetworking-plugins",
    "ebtables",
    "ethtool",
    "ipset",
    "iproute2",
    "iptables",
    "mmdebstrap",
    "nftables",
    "openssl",
    "runc",
)
_APT_LIMIT_S = 300.0


def missing_packages(status_lines: str) -> list[str]:
    """Which of NODE_PACKAGES are not in dpkg-query's lines of `name status`."""
    installed = {line.split(" ", 1)[0] for line in status_lines.splitlines() if line.endswith(" installed")}
    return [name for name in NODE_PACKAGES if name not in installed]


def ensure_packages() -> None:
    if shutil.which("apt-get") is None:
        raise ClusterError(
            "The node provider installs containerd and other programs with apt-get, which this system lacks. "
            "Use Debian or Ubuntu, install Docker for the kind provider, or name a cluster with --context."
        )
    status = run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n"], limit_s=30)
    missing = missing_packages(status)
    if not missing:
        return
    install = ["apt-get", "install", "--yes", "--quiet=2", "--no-install-recommends", *missing]
    # RUNLEVEL=1 keeps packages from starting their daemons: the node runs its own containerd.
    quiet = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    try:
        run(install, limit_s=_APT_LIMIT_S, env=quiet)
    except CommandFailed:  # the lists are missing, or older than what the mirror still has
        run(["apt-get", "update", "--quiet=2"], limit_s=_APT_LIMIT_S, env=quiet)
        run(install, limit_s=_APT_LIMIT_S, env=quiet)
