"""Provider `node`: one real Kubernetes node in Linux namespaces of its own, where root has no Docker."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from . import node_images, paths, pki
from .cluster import kubectl
from .commands import Argument, run, succeeds
from .errors import ClusterError, CommandFailed
from .node_services import (
    API_PORT,
    API_SERVICE_IP,
    CONTAINERD_SOCKET,
    NODE_IP,
    NODE_NAME,
    PROGRAMS,
    node_services,
)
from .packages import ensure_packages
from .programs import NODE_PROGRAMS, ensure_programs
from .waiting import wait_until

CONTEXT = "whisperfleet-e2e"
_CONFIG = paths.NODE / "node.json"
_PID = paths.NODE / "pid"
_kept: list[subprocess.Popen[bytes]] = []
"""A node outlives whoever started it; Python would warn of a child that is forgotten while it runs."""
_LIB = paths.NODE / "lib"
_LOG = paths.NODE / "log"
_INSIDE_KUBECONFIGS = ("controller-manager", "scheduler", "kube-proxy", "kubelet")
_START_LIMIT_S = 60.0
_READY_LIMIT_S = 90.0
_STOP_LIMIT_S = 20.0
_IMPORT_LIMIT_S = 300.0


def obstacle() -> str | None:
    """Why this machine cannot carry the node; None = it can."""
    if not sys.platform.startswith("linux"):
        return "it needs Linux"
    if os.geteuid() != 0:
        return "it needs root"
    return None


class NodeProvider:
    name = "node"
    context = CONTEXT

    def up(self, console: Console) -> None:
        if reason := obstacle():
            raise ClusterError(f"The node provider cannot run here: {reason}.")
        ensure_packages()
        programs = ensure_programs(NODE_PROGRAMS, console)
        archives = node_images.node_image_archives(console)
        if paths.NODE.exists():
            self.down()
        listener = socket.create_server(("127.0.0.1", 0))
        _write_files(programs, listener)
        _start(listener)
        _load(archives)
        _wait_ready()

    def down(self) -> None:
        """Ends the node and all that ran on it, and removes what it kept; nothing happens where there is none."""
        if keeper := keeper_pid():
            os.kill(keeper, signal.SIGKILL)
            wait_until(
                "The node ends",
                lambda: f"Process {keeper} still runs." if _runs(keeper) else None,
                limit_s=_STOP_LIMIT_S,
            )
        wait_until("The node's control groups go", _remaining_cgroup, limit_s=_STOP_LIMIT_S)
        wait_until("The node's folder goes", _remaining_folder, limit_s=_STOP_LIMIT_S)

    def load_image(self, archive: Path) -> None:
        _import(archive)

    def inside(self, *command: Argument) -> list[Argument]:
        return in_node(*command)

    def logs(self) -> dict[str, Path]:
        return {path.name: path for path in sorted(_LOG.glob("*.log"))}


def keeper_pid() -> int | None:
    """The process whose end is the end of the node; None when it does not run."""
    try:
        pid = int(_PID.read_text("ascii"))
    except (FileNotFoundError, ValueError):
        return None
    return pid if _runs(pid) else None


def in_node(*command: Argument) -> list[Argument]:
    """The command, to be run inside the node's namespaces."""
    keeper = keeper_pid()
    if keeper is None:
        raise ClusterError("The node does not run. Run `make cluster-up`.")
    children = Path(f"/proc/{keeper}/task/{keeper}/children").read_text("ascii").split()
    if not children:
        raise ClusterError(f"The node is ending; see {_LOG}.")
    return ["nsenter", "--target", children[0], "--mount", "--net", "--uts", "--ipc", "--pid", "--", *command]


def cgroup_name(state: Path) -> str:
    """Of its own for each checkout, so that two clusters on one machine do not take each other down."""
    return f"/whisperfleet-{hashlib.sha256(str(state).encode()).hexdigest()[:8]}"


def cgroup_folders(name: str, root: Path = Path("/sys/fs/cgroup")) -> list[Path]:
    """One per controller where the machine has control groups of version 1, one in all with version 2."""
    if (root / "cgroup.controllers").exists():
        return [root / name.strip("/")]
    return [
        controller / name.strip("/")
        for controller in sorted(root.iterdir())
        if not controller.is_symlink() and (controller / "cgroup.procs").exists()
    ]


def _write_files(programs: dict[str, Path], listener: socket.socket) -> None:
    for folder in (_LIB / "kubernetes", _LIB / "etcd", _LIB / "kubelet", _LIB / "cni", _LIB / "volumes", _LOG):
        folder.mkdir(parents=True)
    (_LIB / "etcd").chmod(0o700)
    shutil.copytree(paths.NODE_FILES, _LIB / "kubernetes" / "config")
    keys = _LIB / "kubernetes" / "pki"
    pki.make_authority(keys)
    for certificate in pki.node_certificates(NODE_NAME, NODE_IP, API_SERVICE_IP):
        pki.issue(keys, certificate)
    for user in _INSIDE_KUBECONFIGS:
        text = pki.kubeconfig(keys, user, f"https://127.0.0.1:{API_PORT}", CONTEXT)
        _write_secret(keys / f"{user}.kubeconfig", text)
    port = listener.getsockname()[1]
    _write_secret(paths.KUBECONFIG, pki.kubeconfig(keys, "admin", f"https://127.0.0.1:{port}", CONTEXT))

    cgroup = cgroup_name(paths.NODE)
    for folder in cgroup_folders(cgroup):
        folder.mkdir(exist_ok=True)
    services = node_services(lambda name: str(PROGRAMS / programs[name].parent.name / name), cgroup)
    config = {
        "name": NODE_NAME,
        "address": NODE_IP,
        "api_port": API_PORT,
        "state": str(paths.NODE),
        "programs": {path.parent.name: str(path.parent) for path in programs.values()},
        "listener": listener.fileno(),
        "services": [asdict(service) for service in services],
    }
    _CONFIG.write_text(json.dumps(config, indent=2), "utf-8")


def _write_secret(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, "utf-8")


def _start(listener: socket.socket) -> None:
    namespaces = ("--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc")
    init = (sys.executable, "-I", str(paths.HERE / "node_init.py"), str(_CONFIG))
    with (_LOG / "node.log").open("ab") as log, listener:
        keeper = subprocess.Popen(
            [shutil.which("unshare") or "unshare", *namespaces, "--propagation", "private", *init],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(listener.fileno(),),
            start_new_session=True,
        )
    _kept.append(keeper)
    _PID.write_text(str(keeper.pid), "ascii")

    def missing() -> str | None:
        if keeper.poll() is not None:
            raise ClusterError(f"The node ended at once: {(_LOG / 'node.log').read_text('utf-8').strip()}")
        return _unanswered()

    wait_until("containerd starts", missing, limit_s=_START_LIMIT_S)


def _unanswered() -> str | None:
    # `ctr` waits for ever for a containerd that did not start.
    try:
        ask = in_node("timeout", "2", "ctr", "--address", str(CONTAINERD_SOCKET), "version")
    except ClusterError as error:
        return str(error)  # its namespaces are being made
    return None if succeeds(ask, limit_s=4) else f"`ctr version` gets no answer; see {_LOG}."


def _load(archives: Sequence[Path]) -> None:
    for archive in archives:
        _import(archive)


def _import(archive: Path) -> None:
    # Through a pipe, since the node has another /var/lib and /run.
    with archive.open("rb") as source:
        command = in_node("ctr", "--address", str(CONTAINERD_SOCKET), "--namespace", "k8s.io", "images", "import", "-")
        run(command, limit_s=_IMPORT_LIMIT_S, source=source)


def _wait_ready() -> None:
    def unready(*arguments: str) -> str | None:
        try:
            kubectl(paths.KUBECONFIG, *arguments, limit_s=5)
        except CommandFailed as error:
            return str(error)
        return None

    wait_until("The API server answers", lambda: unready("get", "--raw", "/readyz"), limit_s=_READY_LIMIT_S)
    kubectl(paths.KUBECONFIG, "apply", "--filename", paths.NODE_FILES / "addons.yaml")
    wait_until("The node registers", lambda: unready("get", "node", NODE_NAME), limit_s=_READY_LIMIT_S)
    for wanted in (
        ("--for=condition=Ready", f"node/{NODE_NAME}"),
        ("--for=condition=Available", "--namespace=kube-system", "deployment/coredns"),
        ("--for=condition=Available", "--namespace=local-path-storage", "deployment/local-path"),
    ):
        kubectl(paths.KUBECONFIG, "wait", *wanted, f"--timeout={_READY_LIMIT_S:g}s", limit_s=_READY_LIMIT_S + 5)


def _runs(pid: int) -> bool:
    """True while it is the keeper of this node: numbers are used again."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return str(_CONFIG).encode() in command


def _remaining_cgroup() -> str | None:
    for top in cgroup_folders(cgroup_name(paths.NODE)):
        for folder in [*sorted(top.rglob("*/"), reverse=True), top]:
            try:
                folder.rmdir()
            except FileNotFoundError:
                continue
            except OSError as error:
                return f"{folder} is still there ({error.strerror})."
    return None


def _remaining_folder() -> str | None:
    # Mounts end a moment after the last process that saw them.
    shutil.rmtree(paths.NODE, ignore_errors=True)
    if not paths.NODE.exists():
        return None
    time.sleep(0.1)
    return f"{paths.NODE} is still there."
