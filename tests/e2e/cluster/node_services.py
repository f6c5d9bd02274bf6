"""The daemons of the node, in the order in which they start; paths are those inside the node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

NODE_NAME = "node-1"
NODE_IP = "10.244.255.1"
API_SERVICE_IP = "10.96.0.1"
API_PORT = 6443
ETCD_PORT = 2379
PROGRAMS = PurePosixPath("/run/programs")
CONFIG = PurePosixPath("/var/lib/kubernetes/config")
PKI = PurePosixPath("/var/lib/kubernetes/pki")
CONTAINERD_SOCKET = PurePosixPath("/run/containerd/containerd.sock")


@dataclass(frozen=True, slots=True)
class Service:
    name: str
    command: tuple[str, ...]
    ready_port: int | None = None
    """The services after it start once this port answers."""


def node_services(program: Callable[[str], str], cgroup: str) -> tuple[Service, ...]:
    """`program` gives a program's path inside the node; `cgroup` is the parent of all pods' control groups."""
    return (
        Service("containerd", ("containerd", "--config", f"{CONFIG}/containerd.toml")),
        Service("etcd", _etcd(program("etcd")), ETCD_PORT),
        Service("kube-apiserver", _apiserver(program("kube-apiserver")), API_PORT),
        Service("kube-controller-manager", _controller_manager(program("kube-controller-manager"))),
        Service(
            "kube-scheduler",
            (program("kube-scheduler"), f"--kubeconfig={PKI}/scheduler.kubeconfig", "--leader-elect=false"),
        ),
        Service(
            "kube-proxy",
            (program("kube-proxy"), f"--config={CONFIG}/kube-proxy.yaml", f"--hostname-override={NODE_NAME}"),
        ),
        Service("kubelet", _kubelet(program("kubelet"), cgroup)),
    )


def _etcd(program: str) -> tuple[str, ...]:
    client, peer = f"http://127.0.0.1:{ETCD_PORT}", f"http://127.0.0.1:{ETCD_PORT + 1}"
    return (
        program,
        "--data-dir=/var/lib/etcd",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        # The cluster does not outlive a crash of the machine, so its writes need not either.
        "--unsafe-no-fsync",
    )


def _apiserver(program: str) -> tuple[str, ...]:
    return (
        program,
        f"--etcd-servers=http://127.0.0.1:{ETCD_PORT}",
        "--service-cluster-ip-range=10.96.0.0/16",
        f"--advertise-address={NODE_IP}",
        f"--secure-port={API_PORT}",
        f"--tls-cert-file={PKI}/apiserver.crt",
        f"--tls-private-key-file={PKI}/apiserver.key",
        f"--client-ca-file={PKI}/ca.crt",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={PKI}/sa.pub",
        f"--service-account-signing-key-file={PKI}/sa.key",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--kubelet-client-certificate={PKI}/kubelet-client.crt",
        f"--kubelet-client-key={PKI}/kubelet-client.key",
        f"--kubelet-certificate-authority={PKI}/ca.crt",
        # By host name it would look the node up in a DNS that does not know it.
        "--kubelet-preferred-address-types=InternalIP",
    )


def _controller_manager(program: str) -> tuple[str, ...]:
    return (
        program,
        f"--kubeconfig={PKI}/controller-manager.kubeconfig",
        f"--service-account-private-key-file={PKI}/sa.key",
        f"--root-ca-file={PKI}/ca.crt",
        "--use-service-account-credentials",
        "--leader-elect=false",
    )


def _kubelet(program: str, cgroup: str) -> tuple[str, ...]:
    return (
        program,
        f"--config={CONFIG}/kubelet.yaml",
        f"--kubeconfig={PKI}/kubelet.kubeconfig",
        f"--hostname-override={NODE_NAME}",
        f"--node-ip={NODE_IP}",
        f"--cgroup-root={cgroup}",
    )
