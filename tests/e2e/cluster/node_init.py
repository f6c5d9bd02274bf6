"""First process of the node, in mount, network, PID, host-name and IPC namespaces of its own.

Lays out the node's folders and network, keeps its daemons running, and relays the API server's port:
the listening socket was opened outside, so clients there reach a network that has no way out.
Run as a script, with the standard library alone; argument: a JSON file written by node.py.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

_START_LIMIT_S = 60.0
_RESTART_DELAY_S = 0.5
_CHUNK_BYTES = 1 << 16
# The kubelet sets these for the whole machine; here it writes into copies.
_KERNEL_SETTINGS = (
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
)


def call(*command: str) -> None:
    subprocess.run(command, check=True)


def lay_out(state: Path, programs: dict[str, str]) -> None:
    """A fresh /run, and /var/lib and /var/log from `state`; programs are bound first, lest they get hidden."""
    mount_own_sysfs(state / "sys")
    call("mount", "-t", "tmpfs", "tmpfs", "/run")
    for folder, source in programs.items():
        Path("/run/programs", folder).mkdir(parents=True)
        call("mount", "--bind", source, f"/run/programs/{folder}")
    for setting in _KERNEL_SETTINGS:
        copy_setting(state / "kernel", Path("/proc/sys", setting))
    for folder in ("lib", "log"):
        call("mount", "--bind", str(state / folder), f"/var/{folder}")
    call("mount", "--make-rshared", "/")


def mount_own_sysfs(target: Path) -> None:
    """The sysfs of this network namespace, with the machine's control groups."""
    target.mkdir()
    call("mount", "-t", "sysfs", "sysfs", str(target))
    call("mount", "--rbind", "/sys/fs/cgroup", str(target / "fs/cgroup"))
    call("umount", "--lazy", "--recursive", "/sys")
    call("mount", "--move", str(target), "/sys")


def copy_setting(folder: Path, setting: Path) -> None:
    if setting.exists():
        folder.mkdir(exist_ok=True)
        copy = folder / setting.name
        copy.write_text(setting.read_text("ascii"), "ascii")
        call("mount", "--bind", str(copy), str(setting))


def connect_network(address: str) -> None:
    """A bridge with no uplink is the node's network card."""
    call("ip", "link", "set", "lo", "up")
    call("ip", "link", "add", "node0", "type", "bridge")
    call("ip", "addr", "add", f"{address}/24", "dev", "node0")
    call("ip", "link", "set", "node0", "up")
    # It leads nowhere, but without any default route the node itself cannot reach a Service's address.
    call("ip", "route", "add", "default", "via", "10.244.255.254", "dev", "node0")
    call("ip", "route", "add", "blackhole", "10.244.0.0/16")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1", "ascii")


async def relay(listener: socket.socket, port: int) -> None:
    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(_CHUNK_BYTES):
                writer.write(chunk)
                await writer.drain()
        except OSError:
            pass  # either side hung up
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.close()  # the API server is not up: the client sees a closed connection, as it would there
            return
        await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))

    server = await asyncio.start_server(serve, sock=listener)
    await server.serve_forever()


def start(service: dict[str, Any]) -> int:
    with Path("/var/log", f"{service['name']}.log").open("ab") as log:
        process = subprocess.Popen(
            service["command"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    # Its end is seen by wait() in keep_running; nobody may wait for it elsewhere.
    process.returncode = 0
    return process.pid


def await_port(service: dict[str, Any]) -> None:
    deadline = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", service["ready_port"]), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    sys.exit(f"{service['name']} did not listen within {_START_LIMIT_S:g} s; see its log.")


def keep_running(services: list[dict[str, Any]]) -> None:
    """Starts all in order, then restarts what ends and reaps what pods leave behind, for ever."""
    running: dict[int, dict[str, Any]] = {}
    for service in services:
        running[start(service)] = service
        if service["ready_port"]:
            await_port(service)
    while True:
        pid, status = os.wait()
        if pid in running:
            service = running.pop(pid)
            print(f"{service['name']} ended ({status}), starting it again", flush=True)  # noqa: T201  the node's log
            time.sleep(_RESTART_DELAY_S)
            running[start(service)] = service


def main(config: dict[str, Any]) -> None:
    socket.sethostname(config["name"])
    lay_out(Path(config["state"]), config["programs"])
    connect_network(config["address"])
    os.environ["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    listener = socket.socket(fileno=config["listener"])
    listener.setblocking(False)
    threading.Thread(target=lambda: asyncio.run(relay(listener, config["api_port"])), daemon=True).start()
    keep_running(config["services"])


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text("utf-8")))
