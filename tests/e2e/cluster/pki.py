"""The node's certificates and kubeconfigs, made with openssl for one life of the cluster."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path

from .commands import run

_LIMIT_S = 20.0
_DAYS = "365"
_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
# openssl's own configuration would mark every certificate as an authority.
_CONFIG = "[req]\ndistinguished_name = subject\n[subject]\n"


@dataclass(frozen=True, slots=True)
class Certificate:
    name: str
    subject: str
    names: tuple[str, ...] = ()
    """Subject alternative names, as openssl writes them."""


def node_certificates(node_name: str, node_ip: str, api_service_ip: str) -> tuple[Certificate, ...]:
    local = ("DNS:localhost", "IP:127.0.0.1", f"IP:{node_ip}")
    api_names = ("kubernetes", "kubernetes.default", "kubernetes.default.svc")
    return (
        Certificate(
            "apiserver", "/CN=kube-apiserver", (*local, f"IP:{api_service_ip}", *(f"DNS:{name}" for name in api_names))
        ),
        Certificate("kubelet-client", "/O=system:masters/CN=kube-apiserver-kubelet-client"),
        Certificate("admin", "/O=system:masters/CN=admin"),
        Certificate("controller-manager", "/CN=system:kube-controller-manager"),
        Certificate("scheduler", "/CN=system:kube-scheduler"),
        Certificate("kube-proxy", "/CN=system:kube-proxy"),
        Certificate("kubelet", f"/O=system:nodes/CN=system:node:{node_name}", (*local, f"DNS:{node_name}")),
    )


def make_authority(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    extensions = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign")
    _request(folder, "ca", "/CN=whisperfleet-e2e", extensions, ())
    run(
        ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", folder / "sa.key"],
        limit_s=_LIMIT_S,
    )
    # The API server reads an EC public key only on its own.
    run(["openssl", "pkey", "-in", folder / "sa.key", "-pubout", "-out", folder / "sa.pub"], limit_s=_LIMIT_S)


def issue(folder: Path, certificate: Certificate) -> None:
    extensions = ["basicConstraints=critical,CA:FALSE", "extendedKeyUsage=clientAuth,serverAuth"]
    if certificate.names:
        extensions.append(f"subjectAltName={','.join(certificate.names)}")
    signer = ("-CA", str(folder / "ca.crt"), "-CAkey", str(folder / "ca.key"))
    _request(folder, certificate.name, certificate.subject, tuple(extensions), signer)


def kubeconfig(folder: Path, user: str, server: str, context: str) -> str:
    """With the certificates inside, so that the file alone is enough. JSON is YAML."""

    def inline(file: str) -> str:
        return base64.b64encode((folder / file).read_bytes()).decode()

    cluster = {"server": server, "certificate-authority-data": inline("ca.crt")}
    keys = {"client-certificate-data": inline(f"{user}.crt"), "client-key-data": inline(f"{user}.key")}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": context, "cluster": cluster}],
        "users": [{"name": context, "user": keys}],
        "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
        "current-context": context,
    }
    return json.dumps(content, indent=2) + "\n"


def _request(folder: Path, name: str, subject: str, extensions: tuple[str, ...], signer: tuple[str, ...]) -> None:
    config = folder / "openssl.cnf"
    config.write_text(_CONFIG, "ascii")
    command = ["openssl", "req", "-x509", "-config", str(config), *_NEW_KEY, "-days", _DAYS, "-subj", subject, *signer]
    for extension in extensions:
        command += ["-addext", extension]
    command += ["-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.crt")]
    run(command, limit_s=_LIMIT_S)
