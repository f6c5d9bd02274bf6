"""deploy/: what compose.yaml and the systemd units say holds, and the processes run as compose.yaml starts them."""

from __future__ import annotations

import importlib.util
import io
import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import time
import wave
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import tests.programs
import yaml
from pydantic_settings import BaseSettings

from whisper_dispatcher.local import vm_nats
from whisper_dispatcher.loopback import free_port
from whisper_dispatcher.worker import stub_server
from whisper_models.bundled import demo_model_path, sample_path
from whisperfleet.client import Client

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
HARDENING = DEPLOY / "systemd/whisperfleet-.service.d/hardening.conf"
ONCE = {"volumes", "prepare", "model"}
SETTINGS = {
    "gateway": "whisper_dispatcher.gateway.settings.GatewaySettings",
    "planner": "whisper_dispatcher.planner.settings.PlannerSettings",
    "worker": "whisper_dispatcher.worker.settings.WorkerSettings",
    "worker-gpu": "whisper_dispatcher.worker.settings.WorkerSettings",
    "prepare": "whisper_dispatcher.settings.ProcessSettings",
    "bot": "whisper_bot.settings.BotSettings",
}
WORST_EXPOSURE = 3.0
START_S = 100.0
TEXT = "hello world one two three"


def fields(process: str) -> set[str]:
    """Names of the process's settings as variables."""
    module, _, name = SETTINGS[process].rpartition(".")
    if importlib.util.find_spec(module.partition(".")[0]) is None:
        pytest.skip(f"{module} is not in this tree")
    settings: type[BaseSettings] = getattr(importlib.import_module(module), name)
    return {f"WHISPERFLEET_{field.upper()}" for field in settings.model_fields}


def substituted(text: str) -> str:
    """`${NAME:-default}` as compose reads it where nothing is set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def test_the_queues_users_are_those_of_the_code() -> None:
    assert (DEPLOY / "nats.conf").read_text() == vm_nats.config()


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_no_privilege_and_writes_to_its_volumes_alone(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    if name == "volumes":
        assert (service["user"], service["cap_add"], service["networks"]) == ("0:0", ["CHOWN"], ["queue"])
    else:
        assert service["user"] == "65532:65532"
        assert "cap_add" not in service
    assert ("healthcheck" in service) == (name not in ONCE)


def test_only_the_gateway_is_published_and_by_default_to_this_machine() -> None:
    assert {name for name, service in SERVICES.items() if "ports" in service} == {"gateway"}
    assert [substituted(port) for port in SERVICES["gateway"]["ports"]] == ["127.0.0.1:8080:8080"]
    assert COMPOSE["networks"]["queue"] == {"internal": True}
    for name in ("nats", "worker", "worker-gpu", "prepare"):
        assert SERVICES[name]["networks"] == ["queue"]


def test_bot_and_gpu_are_asked_for_by_name() -> None:
    assert {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service} == {
        "bot": ["bot"],
        "worker-gpu": ["gpu"],
    }


def test_everything_a_service_names_is_declared() -> None:
    for service in SERVICES.values():
        assert set(service.get("depends_on", {})) <= SERVICES.keys()
        assert set(service.get("networks", [])) <= COMPOSE["networks"].keys()
        sources = {volume.partition(":")[0] for volume in service.get("volumes", []) if volume[0].isalpha()}
        assert sources <= COMPOSE["volumes"].keys()
        assert set(secrets(service).values()) <= COMPOSE["secrets"].keys()


def secrets(service: dict[str, Any]) -> dict[str, str]:
    """Name inside the container → secret."""
    given = service.get("secrets", [])
    return {secret: secret for secret in given if isinstance(secret, str)} | {
        secret["target"]: secret["source"] for secret in given if isinstance(secret, dict)
    }


def test_no_secret_is_written_down() -> None:
    for service in SERVICES.values():
        assert not [name for name in service.get("environment", {}) if re.search("PASSWORD|KEY|TOKEN", name)]


@pytest.mark.parametrize("process", SETTINGS)
def test_every_variable_and_secret_of_a_service_is_one_of_its_settings(process: str) -> None:
    service = SERVICES[process]
    named = {name for name in service["environment"] if name.startswith("WHISPERFLEET_")}
    named |= {target.upper() for target in secrets(service) if target.startswith("whisperfleet_")}
    assert named - fields(process) == set()


@pytest.mark.parametrize("unit", [unit for unit in UNITS if "nats" not in unit.stem], ids=lambda unit: unit.stem)
def test_every_variable_and_credential_of_a_unit_is_one_of_its_settings(unit: Path) -> None:
    process = unit.stem.removeprefix("whisperfleet-")
    text = unit.read_text() + HARDENING.read_text()
    named = set(re.findall(r"(WHISPERFLEET_[A-Z_]+)=", text)) - {"WHISPERFLEET_STORE_GIB"}
    named |= {name.upper() for name in re.findall(r"LoadCredential=(whisperfleet_\w+)", text)}
    assert named - fields(process) == set()


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_is_hardened(unit: Path, tmp_path: Path) -> None:
    installed = tmp_path / "etc/systemd/system"
    shutil.copytree(DEPLOY / "systemd", installed)
    options = ["--offline=true", f"--root={tmp_path}", "--no-pager"]
    found = subprocess.run(
        [tests.programs.program("systemd-analyze", "systemd"), "security", *options, unit.name],
        capture_output=True,
        text=True,
        check=False,
    )
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", found.stdout)
    assert exposure, found.stdout + found.stderr
    assert float(exposure[1]) <= WORST_EXPOSURE


def test_the_guides_enable_line_has_every_unit_started_at_boot(tmp_path: Path) -> None:
    (line,) = re.findall(r"systemctl enable --now (whisperfleet-\S+)", (DEPLOY / "README.md").read_text())
    shell = [tests.programs.program("bash"), "-c", f"echo {line} whisperfleet-bot"]
    told = subprocess.run(shell, capture_output=True, text=True, check=True)
    names = told.stdout.split()
    assert {f"{name}.service" for name in names} == {unit.name for unit in UNITS}
    shutil.copytree(DEPLOY / "systemd", tmp_path / "etc/systemd/system")
    systemctl = [tests.programs.program("systemctl", "systemd"), f"--root={tmp_path}"]
    subprocess.run([*systemctl, "enable", *names], check=True)
    found = subprocess.run([*systemctl, "is-enabled", *names], capture_output=True, text=True, check=False)
    assert found.stdout.split() == ["enabled"] * len(names)
    started = {path.name for path in (tmp_path / "etc/systemd/system/multi-user.target.wants").iterdir()}
    assert started == {unit.name for unit in UNITS}


def test_secrets_are_made_once_and_shown_to_nobody_else(tmp_path: Path) -> None:
    folder = make_secrets(tmp_path)
    before = {path.name: path.read_text() for path in folder.iterdir()}
    make_secrets(tmp_path)
    assert {path.name: path.read_text() for path in folder.iterdir()} == before
    assert folder.stat().st_mode & 0o777 == 0o700
    assert len(set(before.values())) == len(before)
    assert set(before) >= {"admin-password", "gateway-password", "api-key", "passwords.conf"}


def test_the_guides_backup_works_without_settings_and_is_closed_to_everybody_else(tmp_path: Path) -> None:
    (lines,) = re.findall(r"```sh\n(cd deploy[^`]*compose stop[^`]*)```", (DEPLOY / "README.md").read_text())
    make_secrets(tmp_path / "deploy")
    stand_ins = {"sudo": 'exec "$@"', "docker": 'test "$1" = compose || echo queue'}
    for name, line in stand_ins.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o700)
    shell = [tests.programs.program("bash"), "-euc", f"umask 022\n{lines}"]
    subprocess.run(shell, check=True, cwd=tmp_path, env={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    for name in ("queue.tar.gz", "secrets.tar.gz"):
        found = (tmp_path / "deploy" / name).stat()
        assert found.st_mode & 0o777 == 0o600
        assert found.st_size > 0
    with tarfile.open(tmp_path / "deploy/secrets.tar.gz") as archive:
        assert "secrets/api-key" in archive.getnames()


def test_git_takes_no_backup_and_no_settings(tmp_path: Path) -> None:
    git = [tests.programs.program("git"), "-C", str(tmp_path)]
    subprocess.run([*git, "init", "--quiet"], check=True)
    shutil.copy(ROOT / ".gitignore", tmp_path)
    ours = ["deploy/queue.tar.gz", "deploy/secrets.tar.gz", "deploy/.env", "deploy/secrets/api-key"]
    ignored = subprocess.run([*git, "check-ignore", *ours], capture_output=True, text=True, check=False)
    assert ignored.stdout.split() == ours


def make_secrets(folder: Path) -> Path:
    subprocess.run([DEPLOY / "make-secrets", folder / "secrets"], check=True)
    return folder / "secrets"


class Machine:
    """The processes of compose.yaml without containers: their own command, variables and secrets."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self.secrets = make_secrets(folder)
        self.nats_port, self.http_port = free_port(), free_port()
        self.worker_port = free_port()

    def start_nats(self) -> None:
        shutil.copy(DEPLOY / "nats.conf", self.secrets)
        own = ["--config", self.secrets / "nats.conf", "--addr", "127.0.0.1", "--store_dir", self._folder / "store"]
        ports = ["--port", str(self.nats_port), "--http_port", str(free_port())]
        self._stack.enter_context(process([program("nats-server"), *own, *ports], os.environ))
        until(lambda: connects(self.nats_port))

    def environment(self, name: str, **own: str) -> dict[str, str]:
        service = SERVICES[name]
        given = self._folder / f"secrets of {name}"
        given.mkdir()
        for target, source in secrets(service).items():
            shutil.copy(self.secrets / source, given / target)
        here = {"nats://nats:4222": f"nats://127.0.0.1:{self.nats_port}"}
        variables = {key: here.get(value, substituted(value)) for key, value in service["environment"].items()}
        return os.environ | variables | {"CREDENTIALS_DIRECTORY": str(given)} | own

    def prepare(self) -> None:
        environment = self.environment("prepare")
        folder = environment["CREDENTIALS_DIRECTORY"]
        arguments = [substituted(each).replace("/run/secrets", folder) for each in SERVICES["prepare"]["command"]]
        for _ in range(2):  # as at a second start
            subprocess.run([program("whisperfleet"), *arguments], env=environment, check=True)

    def start(self, name: str, arguments: list[str], **own: str) -> None:
        self._stack.enter_context(process([sys.executable, *arguments], self.environment(name, **own)))

    def start_worker(self) -> None:
        server = stub_server.write_program(self._folder, "--text", TEXT)
        own = {"WHISPER_SERVER": str(server), "MODEL_PATH": str(demo_model_path()), "PROBE_PORT": str(self.worker_port)}
        self.start(
            "worker",
            ["-m", "whisper_dispatcher.worker"],
            **{f"WHISPERFLEET_{key}": value for key, value in own.items()},
        )


def test_the_processes_of_compose_transcribe_with_the_key_from_its_file(tmp_path: Path) -> None:
    with ExitStack() as stack:
        machine = Machine(tmp_path, stack)
        machine.start_nats()
        machine.prepare()
        machine.start_worker()
        assert SERVICES["planner"]["command"] == ["planner"]
        assert SERVICES["gateway"]["command"] == ["gateway"]
        module = ["-c", "from whisper_dispatcher.cli import app; app()"]
        machine.start("planner", [*module, "planner"], WHISPERFLEET_WORK_DIR=str(tmp_path), WHISPERFLEET_PROBE_PORT="0")
        own = {"WHISPERFLEET_HOST": "127.0.0.1", "WHISPERFLEET_PORT": str(machine.http_port)}
        machine.start("gateway", [*module, "gateway"], **own)
        url = f"http://127.0.0.1:{machine.http_port}"
        until(lambda: is_ready(url) and is_ready(f"http://127.0.0.1:{machine.worker_port}"))
        for name in ("api-key", "bot-api-key"):
            with Client(url, (machine.secrets / name).read_text().strip()) as client:
                assert client.transcribe(spoken(), timeout_s=START_S).text == TEXT


def spoken() -> bytes:
    """Longer than what a message holds, so that it goes through the object store."""
    with wave.open(str(sample_path("hello.wav")), "rb") as sound:
        frames, parameters = sound.readframes(sound.getnframes()), sound.getparams()
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setparams(parameters)
        sound.writeframes((frames * 20)[: 2 * 16_000 * 20])
    return file.getvalue()


@contextmanager
def process(argv: list[Any], environment: Any) -> Iterator[None]:
    running = subprocess.Popen(argv, env=environment, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        running.terminate()
        try:
            running.wait(10)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def program(name: str) -> Path:
    return Path(sys.executable).with_name(name)


def connects(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def until(holds: Any) -> None:
    deadline = time.monotonic() + START_S
    while not holds():
        assert time.monotonic() < deadline, f"it did not come about within {START_S:g} s"
        time.sleep(0.05)
