"""Form fields into what a job needs: parsed once, refused with a sentence."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal, cast, get_args
from urllib.parse import urlsplit

from whisper_contracts.messages import ClientRecord, ModelRecord, TranscribeOptions
from whisper_dispatcher.addresses import is_public
from whisper_dispatcher.gateway.directory import Models
from whisper_dispatcher.gateway.errors import ApiError, bad_request
from whisper_dispatcher.gateway.multipart import Form
from whisper_dispatcher.transcript.languages import to_code
from whisper_dispatcher.transcript.render import Granularity

Task = Literal["transcribe", "translate"]
ResponseFormat = Literal["json", "text", "srt", "vtt", "verbose_json"]
MAX_PROMPT_CHARACTERS = 4_000
MAX_CALLBACK_CHARACTERS = 2_000


def transcribe_options(
    form: Form, models: Models, client: ClientRecord, task: Task = "transcribe"
) -> TranscribeOptions:
    model = find_model(form.get("model"), models, client)
    prompt = _prompt(form)
    if len(prompt) > MAX_PROMPT_CHARACTERS:
        raise bad_request(
            f"The prompt has {len(prompt)} characters; at most {MAX_PROMPT_CHARACTERS} are taken.",
            code="prompt_too_long",
            param="prompt",
        )
    return TranscribeOptions(
        model=model.name,
        language=_language(_asked_language(form), model),
        task=task,
        prompt=prompt,
        temperature=_number(form, "temperature", default=0.0, high=1.0),
        words="word" in granularities(form),
        mode=_choice(form, "mode", ("parallel", "sequential")),
    )


def _prompt(form: Form) -> str:
    """OpenAI's clients send words that are likely to occur as `keywords`, too; Whisper knows prompts alone."""
    return " ".join(filter(None, (form.get("prompt"), ", ".join(form.all("keywords")))))


def _asked_language(form: Form) -> str:
    """Of several possible `languages` Whisper is left to find out which it hears."""
    return form.get("language") or (form.get("languages") if len(form.all("languages")) == 1 else "")


def find_model(name: str, models: Models, client: ClientRecord) -> ModelRecord:
    """Raises 404 for an unknown model, 403 for one this client may not use, 503 when there is none at all."""
    model = models.resolve(name)
    if model is None and not name:
        raise ApiError(503, "This service has no model yet. Its operator has to add one.", code="no_model", retry=True)
    if model is None:
        known = ", ".join(record.name for record in visible_models(models, client)) or "none"
        raise ApiError(
            404,
            f"There is no model {name[:100]!r} here. The models are: {known}.",
            code="model_not_found",
            param="model",
            retry=False,
        )
    if not may_use(client, model):
        raise ApiError(
            403,
            f"This API key may not use the model {model.name!r}. Ask the operator, or choose another from /v1/models.",
            code="model_not_allowed",
            param="model",
            retry=False,
        )
    return model


def visible_models(models: Models, client: ClientRecord) -> list[ModelRecord]:
    return [model for model in models.all() if may_use(client, model)]


def may_use(client: ClientRecord, model: ModelRecord) -> bool:
    return client.models is None or model.name in client.models


def _language(text: str, model: ModelRecord) -> str | None:
    if not text or text.lower() == "auto":
        # With one language there is nothing to detect, and all windows may run at once.
        return model.languages[0] if len(model.languages) == 1 else None
    code = to_code(text)
    if code is None:
        raise bad_request(
            f"{text[:40]!r} is no language Whisper knows. Send an ISO-639-1 code such as 'en', or leave the language out.",
            code="invalid_language",
            param="language",
        )
    if model.languages and code not in model.languages:
        raise bad_request(
            f"The model {model.name!r} does not speak {code!r}, only: {', '.join(model.languages)}. Leave the language out or choose another model.",
            code="unsupported_language",
            param="language",
        )
    return code


def response_format(form: Form) -> ResponseFormat:
    return cast(ResponseFormat, _choice(form, "response_format", get_args(ResponseFormat)))


def granularities(form: Form) -> list[Granularity]:
    return [_one_of("timestamp_granularities", value, ("segment", "word")) for value in _listed(form)]  # type: ignore[misc]


def check_granularities(form: Form, wanted: ResponseFormat) -> None:
    if _listed(form) and wanted != "verbose_json":
        raise bad_request(
            "timestamp_granularities needs response_format=verbose_json.",
            code="invalid_parameter",
            param="timestamp_granularities",
        )


def _listed(form: Form) -> list[str]:
    values = form.all("timestamp_granularities")
    return [part.strip() for value in values for part in value.split(",") if part.strip()]


def is_streaming(form: Form) -> bool:
    return _choice(form, "stream", ("false", "true")) == "true"


def _choice(form: Form, name: str, choices: Iterable[str]) -> str:
    """The first choice is the default."""
    choices = tuple(choices)
    value = form.get(name).lower()
    return _one_of(name, value, choices) if value else choices[0]


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise bad_request(
            f"{name} is {value[:40]!r}; it must be one of: {', '.join(choices)}.", code="invalid_parameter", param=name
        )
    return value


def _number(form: Form, name: str, *, default: float, high: float) -> float:
    text = form.get(name)
    return parse_number(name, text, high=high) if text else default


def parse_number(name: str, text: str, *, high: float) -> float:
    """Between 0 and `high`."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= high:
        raise bad_request(
            f"{name} is {text[:40]!r}; it must be a number from 0 to {high:g}.", code="invalid_parameter", param=name
        )
    return value


def wait_s(form: Form, prefer: str, *, default: float, high: float) -> float:
    """How long the client wants to wait: form field `wait_s`, else `Prefer: wait=SECONDS` (or `respond-async`)."""
    if text := form.get("wait_s"):
        return parse_number("wait_s", text, high=high)
    for preference in prefer.split(","):
        name, _, value = preference.strip().partition("=")
        if name.lower() == "wait":
            return parse_number("Prefer: wait", value.strip(' "'), high=high)
        if name.lower() == "respond-async":
            return 0.0
    return default


def callback_url(form: Form, *, allow_private: bool) -> str | None:
    """Refuses what can be seen to be wrong now. Where the name leads is checked when it is called."""
    url = form.get("callback_url")
    if not url:
        return None
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
        (host or "").encode("idna")
    except ValueError:
        host = None
    is_readable = url.isprintable() and len(url) <= MAX_CALLBACK_CHARACTERS
    if not host or parts.scheme not in ("http", "https") or not is_readable:
        raise bad_request(
            "callback_url must be an http or https address with a host.", code="invalid_callback", param="callback_url"
        )
    if not allow_private and _is_private(host):
        raise bad_request(
            f"callback_url leads to {host[:100]}, which is no public address. Give one that can be reached from the internet.",
            code="private_callback",
            param="callback_url",
        )
    return url


def _is_private(host: str) -> bool:
    name = host.rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return not is_public(name)
    except ValueError:
        return False  # a name
