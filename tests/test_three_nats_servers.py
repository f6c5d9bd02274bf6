"""Three nats-servers as the chart configures them (what Helm makes of it is kept in tests/rendered): they join each other
with the password of the keys, and nobody joins without it; the queue is kept on all three and outlives one of them."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
import yaml

from whisper_contracts import names
from whisper_dispatcher.jetstream import topology
from whisper_dispatcher.jetstream.errors import QueueRefused, QueueUnavailable
from whisper_dispatcher.jetstream.streams import JetStream
from whisper_dispatcher.jetstream.topology import Limits
from whisper_dispatcher.local.tools import nats_server_path
from whisper_dispatcher.loopback import free_port
from whisper_operator.nats_keys import new_keys

RENDERED = Path(__file__).parent / "rendered" / "three-nats-servers.yaml"
MIB = 1024**2
LIMITS = Limits(replicas=3, windows_bytes=16 * MIB, journal_bytes=16 * MIB, audio_bytes=16 * MIB)
MODEL = "demo.en"
LIMIT_S = 60.0


class Servers:
    """The pods of the StatefulSet, with ports and folders of this machine instead of their own."""

    def __init__(self, folder, keys):
        rendered = {each["kind"]: each for each in yaml.safe_load_all(RENDERED.read_text())}
        self._config = rendered["ConfigMap"]["data"]["nats.conf"]
        (container,) = rendered["StatefulSet"]["spec"]["template"]["spec"]["containers"]
        self._environment = {each["name"]: each["value"] for each in container["env"] if "value" in each}
        self._folder = folder
        self._keys = keys
        # Client, route and monitoring port of each.
        self._ports = [(free_port(), free_port(), free_port()) for _ in range(3)]
        self._processes = {}

    @property
    def url(self):
        return ",".join(f"nats://127.0.0.1:{client}" for client, _, _ in self._ports)

    def start(self, index, *, password=None):
        password = password or self._keys["routes.password"]
        client, route, monitor = self._ports[index]
        folder = self._folder / str(index)
        folder.mkdir(exist_ok=True)
        here = {
            "port: 4222": f"listen: 127.0.0.1:{client}",
            "port: 6222": f"listen: 127.0.0.1:{route}",
            "http_port: 8222": f"http: 127.0.0.1:{monitor}",
            "store_dir: /data": f"store_dir: {json.dumps(str(folder / 'data'))}",
        }
        config = self._config
        for theirs, ours in here.items():
            config, count = re.subn(rf"(?m)^(\s*){theirs}$", rf"\g<1>{ours}", config)
            assert count == 1, theirs
        (folder / "nats.conf").write_text(config)
        (folder / "auth.conf").write_text(self._keys["auth.conf"])
        environment = {"POD_NAME": f"nats-{index}", "ROUTES_PASSWORD": password}
        for name, value in self._environment.items():
            number = int(name.removeprefix("ROUTE_"))
            route_url = value.replace("$(ROUTES_PASSWORD)", password)
            environment[name] = re.sub(r"@.*$", f"@127.0.0.1:{self._ports[number][1]}", route_url)
        with (folder / "log").open("ab") as log:
            self._processes[index] = subprocess.Popen(
                [nats_server_path(), "--config", folder / "nats.conf"], env=environment, stderr=log
            )

    def kill(self, index):
        process = self._processes.pop(index)
        process.kill()
        process.wait()

    def stop(self):
        for index in list(self._processes):
            self.kill(index)

    def peers(self, index):
        """The servers that it has routes to."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._ports[index][2]}/routez", timeout=5) as answer:
                return {route["remote_name"] for route in json.load(answer)["routes"] or []}
        except OSError:
            return set()

    def log(self, index):
        return (self._folder / str(index) / "log").read_text()

    async def connect(self):
        credentials = self._folder / "operator.creds"
        credentials.write_text(self._keys["operator.creds"])
        async with asyncio.timeout(LIMIT_S):
            return await JetStream.connect(
                self.url, name="test", credentials=str(credentials), inbox_prefix="_INBOX_operator"
            )


@pytest.fixture
def servers(tmp_path):
    found = Servers(tmp_path, new_keys(secrets.token_bytes, int(time.time())))
    yield found
    found.stop()


async def until(holds):
    async with asyncio.timeout(LIMIT_S):
        while not holds():  # noqa: ASYNC110  other processes have nothing to wait for
            await asyncio.sleep(0.1)


async def retried(call):
    """Until a leader is elected; the operator tries again likewise."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            try:
                return await call()
            except (QueueUnavailable, QueueRefused):
                await asyncio.sleep(0.25)


async def test_the_queue_lies_on_three_servers_and_outlives_one(servers):
    for index in range(3):
        servers.start(index)
    everybody = {"nats-0", "nats-1", "nats-2"}
    await until(lambda: all(servers.peers(index) | {f"nats-{index}"} == everybody for index in range(3)))
    queue = await servers.connect()
    try:
        await retried(lambda: topology.ensure_streams(queue, LIMITS))
        await retried(lambda: topology.ensure_model(queue, MODEL))
        for stream in topology.streams(LIMITS):
            info = await queue.api(f"STREAM.INFO.{stream['name']}")
            assert info["config"]["num_replicas"] == 3
            kept_by = {info["cluster"]["leader"], *(each["name"] for each in info["cluster"]["replicas"])}
            assert kept_by == everybody, stream["name"]
        subject = names.window_subject(MODEL, "bulk", "client", "job", 0)
        assert await retried(lambda: queue.publish(subject, b"before")) == 1
        leader = (await queue.api(f"STREAM.INFO.{names.WINDOWS_STREAM}"))["cluster"]["leader"]
        servers.kill(int(leader.removeprefix("nats-")))
        later = names.window_subject(MODEL, "bulk", "client", "job", 1)
        assert await retried(lambda: queue.publish(later, b"after")) >= 2
        info = await retried(lambda: queue.api(f"STREAM.INFO.{names.WINDOWS_STREAM}"))
        assert info["state"]["messages"] >= 2
    finally:
        await queue.close()


async def test_nobody_joins_without_the_password(servers):
    for index in range(2):
        servers.start(index)
    servers.start(2, password="r" + "0" * 48)
    await until(lambda: servers.peers(0) == {"nats-1"} and servers.peers(1) == {"nats-0"})
    await until(lambda: "authentication error" in servers.log(0) + servers.log(1))
    assert servers.peers(2) == set()
    assert servers.peers(0) == {"nats-1"}
