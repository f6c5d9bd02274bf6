"""A model server that can misbehave, run inside the cluster with the standard library alone.

Paths: /good.bin, /corrupt.bin (one wrong byte), /cut.bin (breaks off in the middle, once), /wrong-range.bin (does so too,
and answers the next range with other bytes), /slow.bin (takes seconds), /stalled.bin (sends half and then nothing more),
/locked.bin (wants a token), /bucket/speech/model.bin (wants a request signed as for S3), /huge.bin (says it has a
petabyte); every other is not there. Argument: the model file. Every request is a line: path, range; of /slow.bin, how far
it got is another.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MODEL = Path(sys.argv[1]).read_bytes()
CORRUPT = MODEL[:1_000_000] + bytes([MODEL[1_000_000] ^ 1]) + MODEL[1_000_001:]
PETABYTE = 10**15
HALF = len(MODEL) // 2
SLOW_CHUNK_BYTES = 16_384
SLOW_CHUNK_S = 0.06
SECRETS = {"AKIAREADER": "the reader's secret"}
turns: dict[str, int] = {}
lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        tell(self.path, self.headers.get("Range"))
        if self.path in WHOLE:
            self.send(WHOLE[self.path])
        elif self.path in ANSWERS:
            ANSWERS[self.path](self, turn(self.path) == 1)
        else:
            self.send_error(404)

    def cut(self, first: bool) -> None:
        self.send(MODEL, end=HALF if first else None)

    def wrong_range(self, first: bool) -> None:
        wrong = "Range" in self.headers and turn("wrong range") == 1
        self.send(MODEL, end=HALF if first else None, shift=-1000 if wrong else 0)

    def slow(self, _first: bool) -> None:
        start = sent = self.start()
        self.promise(MODEL, start)
        try:
            while sent < len(MODEL):
                self.wfile.write(MODEL[sent : sent + SLOW_CHUNK_BYTES])
                sent = min(len(MODEL), sent + SLOW_CHUNK_BYTES)
                time.sleep(SLOW_CHUNK_S)
        except OSError:
            pass
        tell(f"sent:{self.path}", start, sent)

    def stalled(self, _first: bool) -> None:
        self.send(MODEL, end=HALF)
        time.sleep(3600)

    def locked(self, _first: bool) -> None:
        if self.headers.get("Authorization") == "Bearer open sesame":
            self.send(MODEL)
        else:
            self.send_error(401)

    def bucket(self, _first: bool) -> None:
        if is_signed(self):
            self.send(MODEL)
        else:
            self.refuse(403, "SignatureDoesNotMatch")

    def huge(self, _first: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(PETABYTE))
        self.end_headers()

    def send(self, body: bytes, *, end: int | None = None, shift: int = 0) -> None:
        """end: what lies behind is promised and never comes. shift: of the range that is answered."""
        start = max(0, self.start() + shift)
        self.promise(body, start)
        self.wfile.write(body[start:end])

    def start(self) -> int:
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        return int(asked[1]) if asked else 0

    def promise(self, body: bytes, start: int) -> None:
        is_range = "Range" in self.headers
        self.send_response(206 if is_range else 200)
        if is_range:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("ETag", '"1"')
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()

    def refuse(self, status: int, code: str) -> None:
        content = f"<Error><Code>{code}</Code></Error>".encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_arguments: object) -> None:
        pass


def tell(*words: object) -> None:
    # One write, so that the lines of requests at the same moment do not mix. The test reads them.
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def turn(name: str) -> int:
    with lock:
        turns[name] = turns.get(name, 0) + 1
        return turns[name]


def is_signed(handler: BaseHTTPRequestHandler) -> bool:
    """AWS Signature Version 4, computed again from what was sent."""
    given = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=(\w+)/(\d+)/([\w-]+)/s3/aws4_request, SignedHeaders=([\w;-]+), Signature=(\w+)",
        handler.headers.get("Authorization", ""),
    )
    if given is None or given[1] not in SECRETS:
        return False
    key_id, day, region, names, signature = given.groups()
    headers = "".join(f"{name}:{handler.headers[name].strip()}\n" for name in names.split(";"))
    request = "\n".join(["GET", handler.path, "", headers, names, handler.headers["X-Amz-Content-Sha256"]])
    scope = f"{day}/{region}/s3/aws4_request"
    digest = hashlib.sha256(request.encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", handler.headers["X-Amz-Date"], scope, digest])
    key = f"AWS4{SECRETS[key_id]}".encode()
    for word in (day, region, "s3", "aws4_request", text):
        key = hmac.digest(key, word.encode(), "sha256")
    return hmac.compare_digest(key.hex(), signature)


WHOLE = {"/good.bin": MODEL, "/corrupt.bin": CORRUPT}
ANSWERS = {
    "/cut.bin": Handler.cut,
    "/wrong-range.bin": Handler.wrong_range,
    "/slow.bin": Handler.slow,
    "/stalled.bin": Handler.stalled,
    "/locked.bin": Handler.locked,
    "/bucket/speech/model.bin": Handler.bucket,
    "/huge.bin": Handler.huge,
}


if __name__ == "__main__":
    ThreadingHTTPServer(("", int(sys.argv[2]) if len(sys.argv) > 2 else 8080), Handler).serve_forever()
