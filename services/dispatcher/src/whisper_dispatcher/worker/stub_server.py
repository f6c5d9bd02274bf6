"""A stand-in for whisper-server that answers after a fixed time: for benchmarks and for rehearsing failures.

    python -m whisper_dispatcher.worker.stub_server --port 8080 --delay-ms 50

It takes whisper-server's own flags and refuses what whisper-server refuses, in the same way. Its own flags can be
given as variables too (--crash-at = STUB_CRASH_AT), for where another process composes the command line.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import shlex
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SERVER_THREADS = 8
"""Connections served at a time; further ones wait, those to /health too."""
LINE_CHARS = 60
LONG_TIMES = 400
TRUE = ("true", "1", "yes", "y")
VALUE_FLAGS = (
    "-t --threads -p --processors -ot --offset-t -on --offset-n -d --duration -mc --max-context -ml --max-len -bo "
    "--best-of -bs --beam-size -ac --audio-ctx -wt --word-thold -et --entropy-thold -lpt --logprob-thold --prompt -m "
    "--model -oved --ov-e-device -dtw --dtw --public --tmp-dir -nth --no-speech-thold -dev --device "
    "-vm --vad-model -vt --vad-threshold -vspd --vad-min-speech-duration-ms -vsd --vad-min-silence-duration-ms -vmsd "
    "--vad-max-speech-duration-s -vp --vad-speech-pad-ms -vo --vad-samples-overlap"
)
SWITCHES = (
    "-sow --split-on-word -debug --debug-mode -tr --translate -di --diarize -tdrz --tinydiarize -nf --no-fallback -fp "
    "-ps --print-special -pc --print-colors -pr --print-realtime -pp --print-progress -nt --no-timestamps -dl "
    "--detect-language --carry-initial-prompt --convert -sns --suppress-nst -ng --no-gpu -fa --flash-attn -nfa "
    "--no-flash-attn -nlp --no-language-probabilities --vad"
)
OWN_FLAGS: dict[str, tuple[Callable[[str], float | int | str], str, str]] = {
    "delay-ms": (float, "50", "time of an inference"),
    "load-ms": (float, "0", "time before the port is bound"),
    "crash-at": (int, "0", "die by SIGKILL in this inference, counted from 1"),
    "hang-at": (int, "0", "never end this inference, and never start another"),
    "endless-prompt": (str, "", "inferences with this prompt end only when the client hangs up"),
    "fail-first": (int, "0", "answer so many inferences with 500"),
    "exit-code": (int, "-1", "leave at once with this code"),
    "text": (str, "hello world one two three", "what is heard"),
    "long-from-s": (float, "0", "in audio at least so long it is heard 400 times over; 0 = never"),
}
REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 500: "Internal Server Error"}


class Refused(Exception):
    """The request ends with this status."""

    def __init__(self, status: int, body: str, content_type: str = "text/plain") -> None:
        self.answer = (status, body, content_type)


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Stub:
    def __init__(self, settings: argparse.Namespace) -> None:
        self._settings = settings
        self._mutex = asyncio.Lock()
        self._threads = asyncio.Semaphore(SERVER_THREADS)
        self._inferences = 0
        self._open: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        settings = self._settings
        say("whisper_init_with_params_no_state: use gpu    = 0", "whisper_model_load: loading model")
        await asyncio.sleep(settings.load_ms / 1000)
        server = await asyncio.start_server(self._accept, settings.host, settings.port, limit=1 << 20)
        terminated = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminated.set)
        say("whisper server listening")
        await terminated.wait()
        server.close()
        if self._open:
            await asyncio.wait(self._open)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._open.add(task)
        try:
            async with self._threads:
                await self._serve(reader, writer)
        except (OSError, EOFError, asyncio.LimitOverrunError):
            pass
        finally:
            self._open.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await read_request(reader)
        try:
            status, body, content_type = await self._answer(request, reader)
        except Refused as refusal:
            status, body, content_type = refusal.answer
        payload = body.encode()
        head = (
            f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Type: {content_type}\r\nServer: whisper.cpp\r\n"
            f"Content-Length: {len(payload)}\r\nConnection: close\r\n\r\n"
        )
        writer.write(head.encode() + payload)
        await writer.drain()

    async def _answer(self, request: Request, reader: asyncio.StreamReader) -> tuple[int, str, str]:
        prefix, inference_path = self._settings.request_path, self._settings.inference_path
        if (request.method, request.path) == ("GET", f"{prefix}/health"):
            return 200, '{"status":"ok"}', "application/json"
        if (request.method, request.path) != ("POST", f"{prefix}{inference_path}"):
            raise Refused(404, f"File Not Found ({request.path})")
        async with self._mutex:
            return await self._infer(request, reader)

    async def _infer(self, request: Request, reader: asyncio.StreamReader) -> tuple[int, str, str]:
        form = read_form(request)
        duration_s = wav_duration_s(form.get("file", b""))
        numbers = read_numbers(form)
        settings = self._settings
        self._inferences += 1
        if self._inferences == settings.crash_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if self._inferences == settings.hang_at:
            await asyncio.Event().wait()
        is_endless = bool(settings.endless_prompt) and form.get("prompt", b"").decode() == settings.endless_prompt
        if await hung_up_within(reader, None if is_endless else settings.delay_ms / 1000):
            raise Refused(404, f"File Not Found ({request.path})")
        if self._inferences <= settings.fail_first:
            raise Refused(500, '{"error":"failed to process audio"}', "application/json")
        words_timed = form.get("token_timestamps", b"true").decode() in TRUE
        is_long = 0 < settings.long_from_s <= duration_s
        heard = " ".join([settings.text] * (LONG_TIMES if is_long else 1)) if duration_s >= 0.1 else ""
        segments = segments_of(heard, duration_s, numbers["max_len"], words_timed)
        text = "".join(f"{segment['text']}\n" for segment in segments)
        if form.get("response_format") != b"verbose_json":
            return 200, json.dumps({"text": text}), "application/json"
        answer = {
            "task": "transcribe",
            "language": "english",
            "duration": duration_s,
            "text": text,
            "segments": segments,
        }
        return 200, json.dumps(answer), "application/json"


async def hung_up_within(reader: asyncio.StreamReader, delay_s: float | None) -> bool:
    """Waits, for ever without a delay, and tells whether the client hung up meanwhile: that stops an inference."""
    try:
        async with asyncio.timeout(delay_s):
            return not await reader.read(1)
    except TimeoutError:
        return False
    except OSError:
        return True


async def read_request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip().split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Request(method, path, headers, await reader.readexactly(int(headers.get("content-length", "0"))))


def read_form(request: Request) -> dict[str, bytes]:
    boundary = re.search(r"multipart/form-data;.*boundary=\"?([^\";]+)", request.headers.get("content-type", ""))
    if not boundary:
        raise Refused(400, "Invalid request")
    parts = (b"\r\n" + request.body).split(f"\r\n--{boundary[1]}".encode())
    form = {}
    for part in parts[1:-1]:
        head, _, value = part.partition(b"\r\n\r\n")
        if name := re.search(rb'[; ]name="([^"]*)"', head):
            form[name[1].decode()] = value
    return form


def wav_duration_s(file: bytes) -> float:
    """Only what the worker sends: 16 kHz mono s16le behind a 44-byte header."""
    fmt = file[20:36]
    if file[:4] != b"RIFF" or fmt != bytes.fromhex("01000100803e0000007d000002001000") or len(file) <= 44:
        raise Refused(400, "Invalid request")
    return (len(file) - 44) / 32_000


def read_numbers(form: dict[str, bytes]) -> dict[str, int]:
    try:
        for name in ("temperature", "temperature_inc"):
            float(form.get(name, b"0"))
        return {name: int(form.get(name, b"0")) for name in ("max_len", "max_context")}
    except ValueError:
        raise Refused(500, "500 Internal Server Error\nstof") from None


def segments_of(text: str, duration_s: float, max_len: int, words_timed: bool) -> list[dict[str, object]]:
    """Cut at 60 characters, inside words too, like whisper-server when nobody says otherwise."""
    spoken = f" {text}" if text else ""
    line_chars = max_len or LINE_CHARS
    lines = [spoken[i : i + line_chars] for i in range(0, len(spoken), line_chars)]
    line_s = duration_s / max(1, len(lines))
    return [segment_of(i, line, i * line_s, line_s, words_timed) for i, line in enumerate(lines)]


def segment_of(index: int, text: str, start_s: float, duration_s: float, words_timed: bool) -> dict[str, object]:
    pieces = re.findall(r" ?[^ ]+", text)
    word_s = duration_s / max(1, len(pieces))
    words: list[dict[str, object]] = []
    for i, piece in enumerate(pieces):
        times = {"start": start_s + i * word_s, "end": start_s + (i + 1) * word_s, "t_dtw": -1} if words_timed else {}
        words.append({"word": piece, **times, "probability": 0.9})
    times = {"start": start_s, "end": start_s + duration_s}
    scores = {"temperature": 0.0, "avg_logprob": -0.1, "no_speech_prob": 0.0}
    return {"id": index, "text": text, **times, "tokens": [50364] * len(pieces), "words": words, **scores}


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Leaves the process with 0, as whisper-server does, when an argument is unknown."""
    parser = argparse.ArgumentParser(prog="stub-server", allow_abbrev=False)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--request-path", default="")
    parser.add_argument("--inference-path", default="/inference")
    parser.add_argument("-l", "--language", default="en")
    for name, (kind, default, what) in OWN_FLAGS.items():
        variable = "STUB_" + name.upper().replace("-", "_")
        value = kind(os.environ.get(variable, default))
        parser.add_argument(f"--{name}", type=kind, default=value, help=f"{what} [{value}], {variable}")
    for flags, action in ((VALUE_FLAGS, "store"), (SWITCHES, "store_true")):
        for flag in flags.split():
            parser.add_argument(flag, dest="ignored", action=action, help=argparse.SUPPRESS)
    settings, unknown = parser.parse_known_args(arguments)
    if unknown:
        say(f"error: unknown argument: {unknown[0]}")
        sys.exit(0)
    if not re.fullmatch(r"auto|[a-y][a-z]{1,2}", settings.language):
        say(f"error: unknown language '{settings.language}'")
        sys.exit(0)
    return settings


def say(*lines: str) -> None:
    sys.stderr.write("".join(f"{line}\n" for line in lines))
    sys.stderr.flush()


def write_program(folder: Path, *arguments: str) -> Path:
    """An executable in the place of whisper-server; arguments: of the stand-in's own."""
    path = folder / "whisper-server"
    path.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, "-m", __spec__.name, *arguments])} "$@"\n')
    path.chmod(0o755)
    return path


def main() -> None:
    settings = parse_arguments(sys.argv[1:])
    if settings.exit_code >= 0:
        sys.exit(settings.exit_code)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(Stub(settings).run())


if __name__ == "__main__":
    main()
