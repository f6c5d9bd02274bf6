from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

Behaviour = Callable[[BaseHTTPRequestHandler, bytes, int], None]


@dataclass
class ModelServer:
    """Serves `body` under every path; `behaviours` answer the first requests, one each, in order."""

    url: str = ""
    body: bytes = b""
    etag: str = '"v1"'
    behaviours: list[Behaviour] = field(default_factory=list)
    ranges: list[str | None] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)


def _start_of_range(handler: BaseHTTPRequestHandler, server: ModelServer) -> int:
    asked = handler.headers.get("Range")
    if asked is None or handler.headers.get("If-Range", server.etag) != server.etag:
        return 0
    return int(asked.removeprefix("bytes=").removesuffix("-"))


def send_body(handler: BaseHTTPRequestHandler, server: ModelServer, start: int, sent_bytes: int | None = None) -> None:
    """Sends honest headers, then the body from `start`, cut after `sent_bytes`."""
    total = len(server.body)
    if start >= total > 0:
        handler.send_response(416)
        handler.send_header("Content-Range", f"bytes */{total}")
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return
    handler.send_response(206 if start else 200)
    if start:
        handler.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
    handler.send_header("ETag", server.etag)
    handler.send_header("Content-Length", str(total - start))
    handler.end_headers()
    rest = server.body[start:]
    handler.wfile.write(rest if sent_bytes is None else rest[:sent_bytes])


@pytest.fixture
def model_server() -> Iterator[ModelServer]:
    state = ModelServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.ranges.append(self.headers.get("Range"))
            start = _start_of_range(self, state)
            if state.behaviours:
                state.behaviours.pop(0)(self, state.body, start)
            else:
                send_body(self, state, start)

        def log_message(self, *_args: object) -> None:
            pass

    http_server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http_server.daemon_threads = True
    state.url = f"http://127.0.0.1:{http_server.server_address[1]}/models"
    thread = threading.Thread(target=http_server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    state.released.set()
    http_server.shutdown()
    thread.join()
    http_server.server_close()


@pytest.fixture
def cut_after(model_server: ModelServer) -> Callable[[int], Behaviour]:
    """A behaviour that sends so many bytes of the promised body and then hangs up."""

    def behaviour(sent_bytes: int) -> Behaviour:
        return lambda handler, _body, start: send_body(handler, model_server, start, sent_bytes)

    return behaviour


def _tensor(name: bytes, shape: tuple[int, ...], tensor_type: int, data: bytes) -> bytes:
    return struct.pack(f"<3i{len(shape)}i", len(shape), len(name), tensor_type, *shape) + name + data


@pytest.fixture
def ggml_bytes() -> Callable[..., bytes]:
    """The bytes of a Whisper model with one layer on either side and 64 weights per tensor."""

    def build(n_vocab: int = 51_864) -> bytes:
        header = struct.pack("<11i", n_vocab, 1500, 64, 1, 1, 448, 64, 1, 1, 80, 1)
        filters = struct.pack("<2i", 80, 2) + bytes(80 * 2 * 4)
        vocabulary = struct.pack("<i", 2) + struct.pack("<I", 2) + b"hi" + struct.pack("<I", 0)
        tensors = b"".join(_tensor(b"t%02d" % n, (64,), 0, bytes(64 * 4)) for n in range(11 + 15 + 24))
        return b"lmgg" + header + filters + vocabulary + tensors

    return build


@pytest.fixture
def model_file(tmp_path: Path, ggml_bytes: Callable[..., bytes]) -> Path:
    path = tmp_path / "ggml-own.bin"
    path.write_bytes(ggml_bytes())
    return path
