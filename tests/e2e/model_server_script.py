"""A model server that can misbehave, run inside the cluster with the standard library alone.

Paths: /good.bin, /corrupt.bin (one wrong byte), /cut.bin (breaks off in the middle, once), /locked.bin (wants a token),
/huge.bin (says it has a petabyte); every other is not there. Argument: the model file.
"""

from __future__ import annotations

import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MODEL = Path(sys.argv[1]).read_bytes()
CORRUPT = MODEL[:1_000_000] + bytes([MODEL[1_000_000] ^ 1]) + MODEL[1_000_001:]
PETABYTE = 10**15
cut: set[str] = set()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        print(self.path, self.headers.get("Range"), flush=True)  # noqa: T201  the test reads it
        match self.path:
            case "/good.bin":
                self.send(MODEL)
            case "/corrupt.bin":
                self.send(CORRUPT)
            case "/cut.bin":
                self.send(MODEL, breaks_off="/cut.bin" not in cut)
                cut.add("/cut.bin")
            case "/locked.bin" if self.headers.get("Authorization") == "Bearer open sesame":
                self.send(MODEL)
            case "/locked.bin":
                self.send_error(401)
            case "/huge.bin":
                self.send_response(200)
                self.send_header("Content-Length", str(PETABYTE))
                self.end_headers()
            case _:
                self.send_error(404)

    def send(self, body: bytes, *, breaks_off: bool = False) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("ETag", '"1"')
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        self.wfile.write(body[start : len(body) // 2] if breaks_off else body[start:])

    def log_message(self, *_arguments: object) -> None:
        pass


ThreadingHTTPServer(("", 8080), Handler).serve_forever()
