"""What /docs says of forms that are read by hand and of answers that are made by hand, since FastAPI cannot see them."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

_COMMON: dict[str, Any] = {
    "file": {"type": "string", "format": "binary", "description": "Any audio or video file: opus, mp3, m4a, wav, …"},
    "model": {"type": "string", "description": "A model of /v1/models or one of its aliases; the default if left out"},
    "prompt": {"type": "string", "description": "Names and words that are likely to occur"},
    "keywords[]": {"type": "array", "items": {"type": "string"}, "description": "The same, one by one"},
    "temperature": {"type": "number", "minimum": 0, "maximum": 1},
}
_LANGUAGE = {
    "language": {"type": "string", "description": "ISO-639-1 code; found out if left out"},
    "languages[]": {"type": "array", "items": {"type": "string"}, "description": "One is as `language`"},
}
_MODE = {"mode": {"type": "string", "enum": ["parallel", "sequential"], "default": "parallel"}}
_WAIT = {"wait_s": {"type": "number", "description": "Seconds to wait for the text"}}
_GRANULARITIES = {
    "timestamp_granularities[]": {"type": "array", "items": {"type": "string", "enum": ["word", "segment"]}}
}
_FORMAT = {
    "response_format": {"type": "string", "enum": ["json", "text", "srt", "vtt", "verbose_json"], "default": "json"}
}
_STREAM = {"stream": {"type": "boolean", "default": False, "description": "Server-sent events, as the text comes"}}
_CALLBACK = {"callback_url": {"type": "string", "format": "uri", "description": "Called, signed, when the job ends"}}


def _header(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "description": description, "schema": {"type": "string"}}


_IDEMPOTENCY = _header("Idempotency-Key", "The same key with the same upload is the same job")
_PREFER = _header("Prefer", "wait=SECONDS")


def _form(*properties: dict[str, Any], parameters: tuple[dict[str, Any], ...] = (_IDEMPOTENCY,)) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "required": ["file"], "properties": dict(_COMMON)}
    for some in properties:
        schema["properties"] |= some
    body = {"required": True, "content": {"multipart/form-data": {"schema": schema}}}
    return {"requestBody": body, "parameters": list(parameters)}


_WAITING = (_IDEMPOTENCY, _PREFER)
TRANSCRIBE = _form(_LANGUAGE, _MODE, _WAIT, _GRANULARITIES, _CALLBACK, parameters=_WAITING)
SUBMIT = _form(_LANGUAGE, _MODE, _GRANULARITIES, _CALLBACK)
TRANSCRIPTIONS = _form(_LANGUAGE, _MODE, _FORMAT, _GRANULARITIES, _STREAM, _WAIT, _CALLBACK, parameters=_WAITING)
TRANSLATIONS = _form(_MODE, _FORMAT, _GRANULARITIES, _STREAM, _WAIT, _CALLBACK, parameters=_WAITING)

_OPEN_PATHS = ("/healthz", "/readyz", "/metrics")

_JSON = ("application/json",)
_TEXT = ("text/plain",)
_EVENTS = ("text/event-stream",)
_FORMATS = ("application/json", "text/plain", "application/x-subrip", "text/vtt")
_OWN_ANSWERS: dict[tuple[str, str], dict[str, tuple[str, tuple[str, ...]]]] = {
    ("/transcribe", "post"): {"200": ("The text", _JSON), "202": ("Not done when the wait was over: the job", _JSON)},
    ("/v1/audio/transcriptions", "post"): {"200": ("In the format asked for", _FORMATS + _EVENTS)},
    ("/v1/audio/translations", "post"): {"200": ("In the format asked for", _FORMATS + _EVENTS)},
    ("/v1/jobs/{job}", "delete"): {"200": ("Cancelled: the job", _JSON), "204": ("Erased", ())},
    ("/v1/jobs/{job}/result", "get"): {"200": ("In the format asked for", _FORMATS)},
    ("/v1/jobs/{job}/events", "get"): {"200": ("Events", _EVENTS), "204": ("Nothing more will come", ())},
    **{(path, "get"): {"200": ("For probes and Prometheus", _TEXT)} for path in _OPEN_PATHS},
}
"""Status and content types, by path and method; one JSON object where nothing is said."""
_ERROR = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "message": {"type": "string", "description": "A sentence for people"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"], "description": "For programs"},
            },
        }
    },
}


def _answers(path: str, method: str, found: dict[str, Any]) -> dict[str, Any]:
    """FastAPI's own but for its 422, which is never sent: what it refuses is answered like every other error."""
    answers = {status: answer for status, answer in found.items() if status != "422"}
    for status, (description, types) in _OWN_ANSWERS.get((path, method), {}).items():
        content: dict[str, Any] = {"content": {kind: {"schema": {}} for kind in types}} if types else {}
        answers[status] = {"description": description} | content
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return answers | {"default": {"description": "Anything else", "content": error}}


def install(app: FastAPI) -> None:
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = generate()
            schema["components"] = {
                "schemas": {"Error": _ERROR},
                "securitySchemes": {
                    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                    "bearer": {"type": "http", "scheme": "bearer"},
                },
            }
            for path, operations in schema["paths"].items():
                for method, operation in operations.items():
                    operation["responses"] = _answers(path, method, operation["responses"])
                    operation["security"] = [] if path in _OPEN_PATHS else [{"key": []}, {"bearer": []}]
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way
