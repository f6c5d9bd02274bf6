from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from whisper_dispatcher.local.commands import (
    Access,
    Ports,
    Speech,
    bot_command,
    gateway_command,
    planner_command,
    threads_per_server,
    worker_command,
)
from whisper_dispatcher.local.data_folder import (
    DataFolder,
    FolderInUse,
    FolderUnusable,
    load_queue,
    open_folder,
    write_private,
)
from whisper_dispatcher.local.nats_server import ROLES
from whisper_dispatcher.local.pipeline import StartFailed, choose_ports
from whisper_dispatcher.local.queue_setup import model_record
from whisper_dispatcher.local.up import announcement, model_name

PORTS = Ports(nats=1, http=2, planner_probe=3, worker_probe=4)
ACCESS = Access("nats://127.0.0.1:1", {role: f"secret-of-{role}" for role in ROLES})


def test_a_chosen_folder_stays_and_a_temporary_one_goes(tmp_path: Path) -> None:
    with open_folder(tmp_path / "data") as kept:
        pass
    with open_folder(None) as temporary:
        (temporary.logs / "a.log").write_text("x")
    assert kept.store.is_dir()
    assert not temporary.path.exists()


def test_two_pipelines_do_not_share_a_folder(tmp_path: Path) -> None:
    with (
        open_folder(tmp_path),
        pytest.raises(FolderInUse, match="Another `whisperfleet up` works in"),
        open_folder(tmp_path),
    ):
        pass


def test_a_folder_that_cannot_be_made_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderUnusable, match="Choose another folder"), open_folder(tmp_path / "file" / "data"):
        pass


def test_keys_passwords_and_limits_stay_the_same_over_restarts(tmp_path: Path) -> None:
    with open_folder(tmp_path) as folder:
        first, second = load_queue(folder), load_queue(folder)
    assert first == second
    assert first.api_key.startswith("wf_")
    assert len({*first.passwords.values(), first.api_key}) == len(ROLES) + 1


def test_a_folder_made_before_there_was_a_bot_gets_what_the_bot_needs(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    now = load_queue(folder)
    stored = json.loads(folder.queue_file.read_text())
    del stored["passwords"]["bot"], stored["bot_key"]
    folder.queue_file.write_text(json.dumps(stored))
    later = load_queue(folder)
    assert later == load_queue(folder)
    assert later.api_key == now.api_key and later.bot_key != now.bot_key
    assert {**later.passwords, "bot": ""} == {**now.passwords, "bot": ""}


def test_secrets_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    with open_folder(tmp_path) as folder:
        load_queue(folder)
        assert folder.queue_file.stat().st_mode & 0o777 == 0o600


def test_a_damaged_queue_file_is_not_replaced(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.queue_file.write_text("{")
    with pytest.raises(FolderUnusable, match="put it back, or start with an empty folder"):
        load_queue(folder)
    assert folder.queue_file.read_text() == "{"


def test_a_private_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "ready.json"
    write_private(target, "old")
    with pytest.raises(UnicodeEncodeError):
        write_private(target, "\ud800")
    assert [path.name for path in tmp_path.iterdir()] == ["ready.json"]
    assert target.read_text() == "old"


def test_each_process_gets_its_own_password_and_no_other(tmp_path: Path) -> None:
    folder, speech = DataFolder(tmp_path), Speech("demo.en", Path("/m.bin"), Path("/whisper-server"), 2)
    commands = [
        gateway_command(folder, ACCESS, PORTS),
        planner_command(folder, ACCESS, PORTS),
        worker_command(folder, ACCESS, PORTS, speech),
        bot_command(folder, ACCESS, PORTS, "wf_bot"),
    ]
    for command in commands:
        text = " ".join([*command.argv, *command.env.values()])
        assert command.env["WHISPERFLEET_NATS_PASSWORD"] == f"secret-of-{command.name}"
        assert text.count("secret-of-") == 1


def test_the_bots_token_reaches_the_bot_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", "1:secret")
    folder = DataFolder(tmp_path)
    assert "TELEGRAM_BOT_TOKEN" not in gateway_command(folder, ACCESS, PORTS).env
    assert bot_command(folder, ACCESS, PORTS, "wf_bot").env["TELEGRAM_BOT_TOKEN"] == "1:secret"


def test_the_users_own_settings_reach_the_processes_but_not_another_nats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHISPERFLEET_MAX_AUDIO_S", "60")
    monkeypatch.setenv("WHISPERFLEET_NATS_CREDENTIALS", "/elsewhere.creds")
    monkeypatch.setenv("WHISPERFLEET_API_KEY", "wf_mine")
    env = planner_command(DataFolder(tmp_path), ACCESS, PORTS).env
    assert env["WHISPERFLEET_MAX_AUDIO_S"] == "60"
    assert env["WHISPERFLEET_NATS_URL"] == "nats://127.0.0.1:1"
    assert "WHISPERFLEET_NATS_CREDENTIALS" not in env
    assert "WHISPERFLEET_API_KEY" not in env


@pytest.mark.parametrize(("cores", "servers", "threads"), [(8, 2, 4), (2, 2, 1), (2, 8, 1), (7, 2, 3)])
def test_the_servers_share_the_cores(cores: int, servers: int, threads: int) -> None:
    assert threads_per_server(cores, servers) == threads


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("base.en", "base.en"),
        ("models/ggml-large-v3-turbo.bin", "large-v3-turbo"),
        ("/x/my model (new).bin", "my-model--new-"),
        ("./ggml-demo.en-q5_0.bin", "demo.en"),
    ],
)
def test_a_model_is_named_after_its_file(given: str, name: str) -> None:
    assert model_name(given) == name


def test_an_english_model_takes_english_alone() -> None:
    assert model_record("demo.en", 0.0).languages == ("en",)
    assert model_record("large-v3", 0.0).languages == ()
    assert model_record("large-v3", 0.0).default


def test_a_taken_port_is_refused_with_a_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StartFailed, match=rf"Port {port} is taken\. Choose another with --port"):
            choose_ports(port)


def test_the_announced_curl_line_can_be_copied() -> None:
    lines = announcement("http://127.0.0.1:8000", "wf_k", "demo.en")
    assert "  curl -H 'X-API-Key: wf_k' -F file=@recording.ogg http://127.0.0.1:8000/transcribe" in lines
