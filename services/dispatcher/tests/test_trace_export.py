"""Tracing is configured once a process, so the exporting process is a real one."""

import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PROGRAM = """
import sys
from opentelemetry import trace
from whisper_dispatcher import tracing
tracing.configure("worker", sys.argv[1])
with tracing.span("window", sys.argv[2], job="j1", window=3):
    pass
tracing._tracer.span_processor.force_flush()
"""


class Collector(http.server.ThreadingHTTPServer):
    bodies: list[tuple[str, bytes]]


@pytest.fixture
def collector() -> Iterator[Collector]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            server.bodies.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = Collector(("127.0.0.1", 0), Handler)
    server.bodies = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_span_reaches_the_collector_under_the_trace_of_its_request(collector: Collector) -> None:
    endpoint = f"http://127.0.0.1:{collector.server_port}"
    subprocess.run(
        [sys.executable, "-c", PROGRAM, endpoint, f"00-{TRACE_ID}-00f067aa0ba902b7-01"], check=True, timeout=60
    )
    ((path, body),) = collector.bodies
    assert path == "/v1/traces"
    assert bytes.fromhex(TRACE_ID) in body
    assert b"whisperfleet-worker" in body
