"""The design the field would otherwise write: FastAPI takes the file, Celery on Redis decodes it and asks the server.

python -m bench.celery_pipeline PORT     is its HTTP process
celery --app bench.celery_pipeline worker     are its workers
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
from typing import Annotated

import uvicorn
from billiard import current_process
from fastapi import FastAPI, Form, UploadFile

from bench import celery_app, fleet
from whisper_dispatcher.planner.sound import write_pcm
from whisper_dispatcher.worker.inference_form import InferenceOptions, form_fields, wav

STUBS_VARIABLE = "BENCH_STUB_PORTS"
POLL_S = 0.005
MAX_SAMPLES = 16_000 * 3600

app = celery_app.app


@app.task(name="transcribe")  # type: ignore[untyped-decorator]
def transcribe(audio: bytes, language: str) -> str:
    pcm = io.BytesIO()
    write_pcm(io.BytesIO(audio), pcm, MAX_SAMPLES)
    # whisper-server runs one inference at a time, so each worker process keeps to its own.
    fields = form_fields(InferenceOptions(language=language), "en")
    status, body = fleet.post(_own_stub_port(), "/inference", fields, wav(pcm.getvalue()))
    if status != 200:
        raise RuntimeError(f"whisper-server answered {status}")
    return "".join(segment["text"] for segment in json.loads(body)["segments"]).strip()


def _own_stub_port() -> int:
    ports = os.environ[STUBS_VARIABLE].split(",")
    return int(ports[getattr(current_process(), "index", 0) % len(ports)])


web = FastAPI()


@web.post("/transcribe")
async def upload(file: UploadFile, language: Annotated[str, Form()] = "en") -> dict[str, str]:
    result = transcribe.delay(await file.read(), language)
    # get() in a thread for each request is slower and waits for the others' results.
    async with asyncio.timeout(celery_app.RESULT_LIMIT_S):
        while not result.ready():  # noqa: ASYNC110  Celery has nothing to await
            await asyncio.sleep(POLL_S)
    return {"transcription": result.get()}


if __name__ == "__main__":
    uvicorn.run(web, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
