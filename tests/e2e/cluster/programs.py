"""The Kubernetes programs, built once from pinned Go modules into the user's cache.

Each folder of go/ is a module of its own: go.mod pins, go.sum holds the checksums that `go build` verifies.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from whisper_models.cache import exclusive_lock

from . import paths
from .commands import run
from .errors import ClusterError, CommandFailed
from .go_toolchain import ensure_go

_KUBERNETES = "k8s.io/kubernetes/cmd"
_VERSION = "k8s.io/component-base/version"
_DOWNLOAD_LIMIT_S = 1800.0
_BUILD_LIMIT_S = 3600.0
_KEPT_LINES = 12
_PLAIN_STEP = 200
"""Packages between two lines of progress where there is no terminal."""
# Everything is built without cgo: no C compiler is needed, and the add-ons run in images made from scratch.
_ENVIRONMENT = {"CGO_ENABLED": "0", "GOFLAGS": "-trimpath -buildvcs=false -mod=readonly"}


@dataclass(frozen=True, slots=True)
class Program:
    name: str
    module: str
    """Its folder below go/."""
    package: str


PROGRAMS = {
    program.name: program
    for program in (
        *(
            Program(name, "kubernetes", f"{_KUBERNETES}/{name}")
            for name in (
                "kube-apiserver",
                "kube-controller-manager",
                "kube-scheduler",
                "kubelet",
                "kube-proxy",
                "kubectl",
            )
        ),
        Program("etcd", "etcd", "go.etcd.io/etcd/server/v3"),
        Program("coredns", "node-images", "whisperfleet.dev/node-images/coredns"),
        Program("pause", "node-images", "whisperfleet.dev/node-images/pause"),
        Program("local-path-provisioner", "local-path-provisioner", "github.com/rancher/local-path-provisioner"),
        Program("helm", "helm", "helm.sh/helm/v4/cmd/helm"),
        Program("kubeconform", "kubeconform", "github.com/yannh/kubeconform/cmd/kubeconform"),
        Program("kind", "kind", "sigs.k8s.io/kind"),
    )
}
CLIENTS = ("kubectl", "helm", "kubeconform")
NODE_PROGRAMS = tuple(
    program.name
    for program in PROGRAMS.values()
    if program.module in ("kubernetes", "etcd") and program.name != "kubectl"
)
IMAGE_PROGRAMS = ("coredns", "local-path-provisioner", "pause")


def module_key(folder: Path, go_version: str) -> str:
    """Changes with anything that goes into the programs of the module: its files and the compiler."""
    digest = hashlib.sha256(go_version.encode())
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"\0{file.relative_to(folder)}\0".encode() + file.read_bytes())
    return f"{folder.name}-{digest.hexdigest()[:16]}"


def linker_flags(module: str, go_mod: str) -> str:
    """Unstamped, Kubernetes calls itself v0.0.0-master, and its version checks mean nothing."""
    if module != "kubernetes":
        return "-s -w"
    match = re.search(r"k8s\.io/kubernetes (v(\d+)\.(\d+)\S*)", go_mod)
    if match is None:
        raise ClusterError(
            f"{paths.GO_MODULES / module / 'go.mod'} does not require k8s.io/kubernetes. Restore the file."
        )
    version, major, minor = match.groups()
    return f"-s -w -X {_VERSION}.gitVersion={version} -X {_VERSION}.gitMajor={major} -X {_VERSION}.gitMinor={minor}"


def ensure_programs(names: Iterable[str], console: Console) -> dict[str, Path]:
    """Where each program lies; those that the cache lacks are built first."""
    wanted = [PROGRAMS[name] for name in names]
    go = ensure_go(console)
    # In the module's folder `go` may switch to the toolchain that go.mod asks for; go.mod is in the key anyway.
    version = run([go, "version"], limit_s=60)
    found: dict[str, Path] = {}
    for module in dict.fromkeys(program.module for program in wanted):
        folder = paths.programs_folder() / module_key(paths.GO_MODULES / module, version)
        of_module = [program for program in wanted if program.module == module]
        if any(not (folder / program.name).is_file() for program in of_module):
            folder.mkdir(parents=True, exist_ok=True)
            with exclusive_lock(paths.programs_folder() / ".lock"):
                _build(go, folder, [program for program in of_module if not (folder / program.name).is_file()], console)
        found.update({program.name: folder / program.name for program in of_module})
    return found


def client_programs(console: Console) -> dict[str, Path]:
    """What talks to a cluster: those on the PATH where all are and Go is not, else the pinned ones."""
    found = {name: path for name in CLIENTS if (path := shutil.which(name))}
    if shutil.which("go") is None and len(found) == len(CLIENTS):
        return {name: Path(path) for name, path in found.items()}
    return ensure_programs(CLIENTS, console)


def link_programs(programs: dict[str, Path]) -> None:
    """Puts them into build/cluster/bin, where tests and people find them."""
    paths.PROGRAM_LINKS.mkdir(parents=True, exist_ok=True)
    for name, path in programs.items():
        link = paths.PROGRAM_LINKS / name
        link.unlink(missing_ok=True)
        link.symlink_to(path)


def _build(go: Path, target: Path, programs: list[Program], console: Console) -> None:
    """All of one module."""
    if not programs:
        return
    module = programs[0].module
    source = paths.GO_MODULES / module
    names = ", ".join(program.name for program in programs)
    packages = [program.package for program in programs]
    console.print(f"Downloading the source of {names}", highlight=False)
    # Listing needs the source of every package, so it downloads what the build needs and no more.
    listed = run([go, "list", "-deps", *packages], limit_s=_DOWNLOAD_LIMIT_S, env=_ENVIRONMENT, folder=source)
    with tempfile.TemporaryDirectory(prefix=".build-", dir=paths.programs_folder()) as scratch:
        flags = linker_flags(module, (source / "go.mod").read_text("utf-8"))
        command = [str(go), "build", "-v", "-ldflags", flags, "-o", f"{scratch}/", *packages]
        _run_build(command, source, listed.count("\n"), f"Building {names}", console)
        for program in programs:
            # `…/server/v3` is built as `server`.
            built = Path(scratch) / re.sub(r"/v\d+$", "", program.package).rsplit("/", 1)[1]
            built.replace(target / program.name)


def _run_build(command: list[str], folder: Path, total: int, title: str, console: Console) -> None:
    last_lines: deque[str] = deque(maxlen=_KEPT_LINES)
    environment = ["env", *(f"{key}={value}" for key, value in _ENVIRONMENT.items())]
    limited = ["timeout", f"{_BUILD_LIMIT_S:g}", *environment, *command]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with (
        subprocess.Popen(limited, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process,
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress,
    ):
        task = progress.add_task(title, total=total)
        # `go build -v` names each package that it compiles and none that its own cache holds.
        for count, line in enumerate(process.stderr or (), start=1):
            last_lines.append(line.rstrip())
            progress.update(task, completed=count)
            if not console.is_terminal and count % _PLAIN_STEP == 1:
                console.print(f"{title}: {count} of at most {total} packages", highlight=False, soft_wrap=True)
    if process.returncode != 0:
        raise CommandFailed(f"{title} failed ({process.returncode}): " + "\n".join(last_lines))
