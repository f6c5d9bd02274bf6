"""What /docs says about bodies that are read by hand, since FastAPI cannot see them."""

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
_WAIT = {"wait_s": {"type": "number", "description": "Seconds to wait for the text; then the answer is 202"}}
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


TRANSCRIBE = _form(_LANGUAGE, _MODE, _WAIT, parameters=(_IDEMPOTENCY, _PREFER))
SUBMIT = _form(_LANGUAGE, _MODE, _GRANULARITIES, _CALLBACK)
TRANSCRIPTIONS = _form(_LANGUAGE, _MODE, _FORMAT, _GRANULARITIES, _STREAM)
TRANSLATIONS = _form(_MODE, _FORMAT, _GRANULARITIES, _STREAM)

_OPEN_PATHS = ("/healthz", "/readyz", "/metrics")


def install(app: FastAPI) -> None:
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = generate()
            schema.setdefault("components", {})["securitySchemes"] = {
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            }
            for path, operations in schema["paths"].items():
                for operation in operations.values():
                    operation["security"] = [] if path in _OPEN_PATHS else [{"key": []}, {"bearer": []}]
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way
