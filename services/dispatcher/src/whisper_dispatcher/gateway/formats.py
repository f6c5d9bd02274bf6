"""A transcript as an HTTP answer."""

from __future__ import annotations

from collections.abc import Collection

from starlette.responses import JSONResponse, PlainTextResponse, Response

from whisper_dispatcher.gateway.options import ResponseFormat, Task
from whisper_dispatcher.transcript.merge import Transcript
from whisper_dispatcher.transcript.render import Granularity, as_json, as_verbose_json, render


def respond(
    transcript: Transcript, wanted: ResponseFormat, *, task: Task, granularities: Collection[Granularity] = ()
) -> Response:
    match wanted:
        case "json":
            return JSONResponse(as_json(transcript))
        case "verbose_json":
            return JSONResponse(as_verbose_json(transcript, task, granularities))
        case "text":
            return PlainTextResponse(render(transcript, wanted))
        case "vtt":
            return Response(render(transcript, wanted), media_type="text/vtt")
        case "srt":
            return Response(render(transcript, wanted), media_type="application/x-subrip")
