"""Writes settings.md from the settings of every process."""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from pathlib import Path

from whisper_bot.settings import BotSettings
from whisper_dispatcher.gateway.settings import GatewaySettings
from whisper_dispatcher.planner.settings import PlannerSettings
from whisper_dispatcher.settings import PREFIX, ProcessSettings
from whisper_dispatcher.worker.settings import WorkerSettings
from whisper_operator.settings import OperatorSettings

PAGE = Path(__file__).with_name("settings.md")
HEAD = """# Settings

Written by `make generate`. The processes read these variables, or a file of the variable's name in small letters in
`/run/secrets` or systemd's credentials. A wrong value ends the process with a sentence that names the variable. Charts and
units set what they need: the chart's values are in [install.md](install.md), more goes into `extraEnv`; for Compose into a
`compose.override.yaml` beside `deploy/compose.yaml`, for systemd into `/etc/whisperfleet/environment`.
"""
TOOLS = """## Laptop and downloads

Read by `whisperfleet` and `whisper-models`, not by the processes above.

| Variable | |
|---|---|
| `WHISPERFLEET_CACHE` | Folder of what is downloaded and built; left out, `whisperfleet` in the user's cache. |
| `WHISPER_SERVER` | A whisper-server that you have; none is built then. |
| `WHISPER_MODELS_MIRROR` | Address of a folder with the catalogue's files, asked in place of Hugging Face. |
| `WHISPER_MODELS_TOKEN` | Sent as `Authorization: Bearer` with a download. |
| `WHISPER_DEMO_MODEL` | Another file in place of the bundled demo model. |
"""
PARTS: tuple[tuple[str, type[ProcessSettings]], ...] = (
    ("Every process", ProcessSettings),
    ("Gateway", GatewaySettings),
    ("Planner", PlannerSettings),
    ("Worker", WorkerSettings),
    ("Operator", OperatorSettings),
    ("Bot", BotSettings),
)


def page() -> str:
    return "\n".join([HEAD, *(_section(title, settings) for title, settings in PARTS), TOOLS])


def _section(title: str, settings: type[ProcessSettings]) -> str:
    told = _meanings(settings)
    rows = [
        f"| `{'' if name in settings.without_prefix else PREFIX}{name.upper()}` | {_default(settings, name)} | {told.get(name, '')} |"
        for name in settings.model_fields
        if name in settings.__annotations__
    ]
    return "\n".join([f"## {title}\n", "| Variable | Default | |", "|---|---|---|", *rows, ""])


def _meanings(settings: type[ProcessSettings]) -> dict[str, str]:
    """The docstring below each field."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(settings))).body
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, below in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            found[field.target.id] = " ".join(str(ast.literal_eval(below.value)).split())
    return found


def _default(settings: type[ProcessSettings], name: str) -> str:
    field = settings.model_fields[name]
    if name in settings.without_prefix or field.is_required():
        return "must be set"
    if field.default_factory or field.default in (None, (), frozenset()):
        return ""
    is_written_bare = isinstance(field.default, str | Path)
    return f"`{field.default if is_written_bare else json.dumps(field.default)}`"


if __name__ == "__main__":
    PAGE.write_text(page())
