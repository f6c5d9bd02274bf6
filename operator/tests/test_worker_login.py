"""How a WhisperServer's workers log in to the queue: with credentials of their own, or as one user for all."""

import base64
import json

import pytest
from whisper_server_objects import server, settings

from whisper_operator import nats_jwt
from whisper_operator.children.nats_secret import nats_secret
from whisper_operator.children.worker_pod import pod_template
from whisper_operator.naming import nats_secret_name
from whisper_operator.settings import OperatorSettings
from whisper_operator.volume import model_volume

ACCOUNT = nats_jwt.public(nats_jwt.key_of("account", b"a" * nats_jwt.SEED_BYTES))


@pytest.fixture
def signing_settings(tmp_path):
    (tmp_path / "seed").write_text(nats_jwt.seed(nats_jwt.key_of("account", b"s" * nats_jwt.SEED_BYTES)) + "\n")
    (tmp_path / "account").write_text(ACCOUNT + "\n")
    return settings(nats_signing_key=tmp_path / "seed", nats_account=tmp_path / "account")


def claims(secret):
    jwt = base64.b64decode(secret["data"]["nats.creds"]).decode().splitlines()[1]
    body = jwt.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


def worker(found, given):
    return pod_template(found, model_volume(found), given)["spec"]


def environment(spec):
    return {variable["name"]: variable for variable in spec["containers"][0]["env"]}


def test_a_servers_credentials_allow_its_own_queue_and_inbox(signing_settings):
    found = claims(nats_secret(server(), "demo.en", signing_settings))
    pulled = [subject for subject in found["nats"]["pub"]["allow"] if ".MSG.NEXT." in subject]
    assert pulled and all("demo=en" in subject for subject in pulled)
    assert "_INBOX_worker-u-1.>" in found["nats"]["sub"]["allow"]
    assert found["nats"]["issuer_account"] == ACCOUNT


def test_credentials_come_as_a_file_so_that_they_can_be_renewed_under_a_running_worker(signing_settings):
    spec = worker(server(), signing_settings)
    given = environment(spec)
    folder = next(mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"] if mount["name"] == "nats")
    assert given["WHISPERFLEET_NATS_CREDENTIALS"]["value"] == f"{folder}/nats.creds"
    assert given["WHISPERFLEET_NATS_INBOX_PREFIX"]["value"] == "_INBOX_worker-u-1"
    assert "WHISPERFLEET_NATS_USER" not in given
    assert {"name": "nats", "secret": {"secretName": nats_secret_name(server())}} in spec["volumes"]


def test_without_a_signing_key_all_servers_share_a_user():
    assert nats_secret(server(), "demo.en", settings())["data"].keys() == {"user", "password"}
    spec = worker(server(), settings())
    assert "WHISPERFLEET_NATS_USER" in environment(spec)
    assert "nats" not in {volume["name"] for volume in spec["volumes"]}


def test_a_private_authority_is_mounted_from_the_servers_own_namespace():
    spec = worker(server(), settings(worker_nats_ca_secret="queue-ca", worker_nats_ca_key="ca.pem"))
    assert environment(spec)["WHISPERFLEET_NATS_CA"]["value"] == "/var/run/whisperfleet/nats-ca/ca.crt"
    volume = next(volume for volume in spec["volumes"] if volume["name"] == "nats-ca")
    assert volume["secret"] == {"secretName": "queue-ca", "items": [{"key": "ca.pem", "path": "ca.crt"}]}


def test_a_signing_key_without_its_account_is_refused_and_no_password_shown(monkeypatch, capsys):
    monkeypatch.setenv("WHISPERFLEET_NATS_SIGNING_KEY", "seed")
    monkeypatch.setenv("WHISPERFLEET_NATS_PASSWORD", "a secret")
    with pytest.raises(SystemExit):
        OperatorSettings.load()
    said = "WHISPERFLEET_NATS_SIGNING_KEY and WHISPERFLEET_NATS_ACCOUNT go together\n"
    assert capsys.readouterr().err == said
