"""The NATS that the platform's chart brings along."""

from __future__ import annotations

import secrets
import subprocess
from typing import Any

import pytest
import yaml
from tests.e2e.cluster import paths
from tests.e2e.rendered.charts import LIMIT_S, VALUES, Helm, pods, rendered

from whisper_dispatcher.local.tools import nats_server_path
from whisper_operator.nats_keys import new_keys


def test_three_nats_servers_know_each_other(helm):
    spec = pods(rendered(helm, VALUES["everything on"]))["speech-whisperfleet-nats"]
    given = {variable["name"]: variable.get("value") for variable in spec["containers"][0]["env"]}
    for index in range(3):
        host = f"speech-whisperfleet-nats-{index}.speech-whisperfleet-nats-peers.platform.svc"
        assert given[f"ROUTE_{index}"] == f"nats://routes:$(ROUTES_PASSWORD)@{host}:6222"


def test_three_nats_servers_are_configured_as_they_were_tried(helm):
    """In tests/test_three_nats_servers.py, where there is no Helm."""

    def essence(manifests):
        found = {each["kind"]: each for each in manifests if each["metadata"]["name"].endswith("-nats")}
        (container,) = found["StatefulSet"]["spec"]["template"]["spec"]["containers"]
        return found["ConfigMap"]["data"], container["env"], container["args"]

    tried = yaml.safe_load_all((paths.CHECKOUT / "tests" / "rendered" / "three-nats-servers.yaml").read_text())
    assert essence(rendered(helm, {"nats": {"replicas": 3}})) == essence(tried), (
        "Run: helm template speech charts/whisperfleet --namespace platform --set nats.replicas=3 --show-only "
        "templates/nats/configmap.yaml --show-only templates/nats/statefulset.yaml > tests/rendered/three-nats-servers.yaml"
    )


def test_what_was_accepted_is_on_disk(helm):
    assert "sync_interval: always" in nats_config(helm, {})


@pytest.mark.parametrize("replicas", [1, 3])
def test_nats_server_takes_its_configuration_and_the_keys(helm, tmp_path, replicas):
    (tmp_path / "nats.conf").write_text(nats_config(helm, {"nats": {"replicas": replicas}}))
    keys = new_keys(secrets.token_bytes, 1)
    (tmp_path / "auth.conf").write_text(keys["auth.conf"])
    routes = {f"ROUTE_{index}": f"nats://routes:{keys['routes.password']}@nats-{index}:6222" for index in range(3)}
    environment = {"POD_NAME": "nats-0", "ROUTES_PASSWORD": keys["routes.password"]} | routes
    command = [nats_server_path(), "--config", tmp_path / "nats.conf", "-t"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, env=environment)
    assert answer.returncode == 0, answer.stderr


def nats_config(helm: Helm, values: dict[str, Any]) -> str:
    found = (each["data"] for each in rendered(helm, values) if each["kind"] == "ConfigMap" and "data" in each)
    return str(next(data["nats.conf"] for data in found if "nats.conf" in data))
