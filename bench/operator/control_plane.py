"""etcd, API server and controller manager as plain processes: what an operator speaks to, without a node.

Needs no root and no images. Nothing is scheduled, so every pod stays pending.
"""

from __future__ import annotations

import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from tests.e2e.cluster import pki
from tests.e2e.cluster.errors import ClusterError
from tests.e2e.cluster.programs import ensure_programs

from bench import servers
from bench.figures import NotRun
from whisper_dispatcher.loopback import HOST, free_port

START_S = 60.0
_PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager")
_CERTIFICATES = (
    pki.Certificate("apiserver", "/CN=kube-apiserver", ("DNS:localhost", f"IP:{HOST}")),
    pki.Certificate("admin", "/O=system:masters/CN=admin"),
    pki.Certificate("controller-manager", "/CN=system:kube-controller-manager"),
)


@dataclass(frozen=True, slots=True)
class ControlPlane:
    url: str
    keys: Path
    kubeconfig: Path

    def tls(self) -> ssl.SSLContext:
        """As an administrator."""
        context = ssl.create_default_context(cafile=self.keys / "ca.crt")
        context.load_cert_chain(self.keys / "admin.crt", self.keys / "admin.key")
        return context


@contextmanager
def running() -> Iterator[ControlPlane]:
    programs = _programs()
    with servers.folder() as data, ExitStack() as stack:
        keys = data / "pki"
        pki.make_authority(keys)
        for certificate in _CERTIFICATES:
            pki.issue(keys, certificate)
        etcd_port, peer_port, port, manager_port = (free_port() for _ in range(4))
        found = ControlPlane(f"https://{HOST}:{port}", keys, data / "admin.kubeconfig")
        for user, path in (("admin", found.kubeconfig), ("controller-manager", keys / "controller-manager.kubeconfig")):
            path.touch(mode=0o600)
            path.write_text(pki.kubeconfig(keys, user, found.url, "bench"))

        def start(name: str, arguments: Sequence[str], port: int) -> None:
            log = data / f"{name}.log"
            process = stack.enter_context(servers.process([str(programs[name]), *arguments], log))
            servers.wait_for_port(port, process, log)

        start("etcd", _etcd(data / "etcd", etcd_port, peer_port), etcd_port)
        start("kube-apiserver", _apiserver(keys, port, etcd_port), port)
        _wait_ready(found, data / "kube-apiserver.log")
        start("kube-controller-manager", _controller_manager(keys, manager_port), manager_port)
        yield found


def _programs() -> dict[str, Path]:
    try:
        return ensure_programs(_PROGRAMS, Console(stderr=True))
    except ClusterError as error:
        raise NotRun(str(error)) from error


def _etcd(data: Path, port: int, peer_port: int) -> list[str]:
    client, peer = f"http://{HOST}:{port}", f"http://{HOST}:{peer_port}"
    return [
        f"--data-dir={data}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        # As the test cluster has it: the disk is not what is measured.
        "--unsafe-no-fsync",
    ]


def _apiserver(keys: Path, port: int, etcd_port: int) -> list[str]:
    return [
        f"--etcd-servers=http://{HOST}:{etcd_port}",
        "--service-cluster-ip-range=10.96.0.0/16",
        f"--bind-address={HOST}",
        f"--advertise-address={HOST}",
        "--endpoint-reconciler-type=none",
        f"--secure-port={port}",
        f"--tls-cert-file={keys}/apiserver.crt",
        f"--tls-private-key-file={keys}/apiserver.key",
        f"--client-ca-file={keys}/ca.crt",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={keys}/sa.pub",
        f"--service-account-signing-key-file={keys}/sa.key",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
    ]


def _controller_manager(keys: Path, port: int) -> list[str]:
    return [
        f"--kubeconfig={keys}/controller-manager.kubeconfig",
        f"--bind-address={HOST}",
        f"--secure-port={port}",
        f"--service-account-private-key-file={keys}/sa.key",
        f"--root-ca-file={keys}/ca.crt",
        "--use-service-account-credentials",
        "--leader-elect=false",
    ]


def _wait_ready(plane: ControlPlane, log: Path) -> None:
    context = plane.tls()
    deadline = time.monotonic() + START_S
    problem = ""
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{plane.url}/readyz", timeout=5, context=context):  # noqa: S310  https
                return
        except (urllib.error.URLError, OSError) as error:
            problem = str(error)
        time.sleep(0.2)
    raise NotRun(f"The API server is not ready after {START_S:g} s ({problem}): {log.read_text()[-2000:]}")
