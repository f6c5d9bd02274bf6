"""Writes settings.md from the settings of gateway, planner and worker."""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from pathlib import Path

from pydantic_core import PydanticUndefined

from whisper_dispatcher.gateway.settings import GatewaySettings
from whisper_dispatcher.planner.settings import PlannerSettings
from whisper_dispatcher.settings import PREFIX, ProcessSettings
from whisper_dispatcher.worker.settings import WorkerSettings

PAGE = Path(__file__).with_name("settings.md")
HEAD = """# Settings

Written by `make generate`. The processes read these variables, or a file of the variable's name in small letters in
`/run/secrets` or systemd's credentials. A wrong value ends the process with a sentence that names the variable. Charts and
units set what they need: the chart's values are in [install.md](install.md), more goes into `extraEnv`; for Compose into a
`compose.override.yaml` beside `deploy/compose.yaml`, for systemd into `/etc/whisperfleet/environment`. The bot's are in
[bot.md](bot.md).
"""
PARTS: tuple[tuple[str, type[ProcessSettings]], ...] = (
    ("Every process", ProcessSettings),
    ("Gateway", GatewaySettings),
    ("Planner", PlannerSettings),
    ("Worker", WorkerSettings),
)


def page() -> str:
    return "\n".join([HEAD, *(_section(title, settings) for title, settings in PARTS)])


def _section(title: str, settings: type[ProcessSettings]) -> str:
    told = _meanings(settings)
    rows = [
        f"| `{PREFIX}{name.upper()}` | {_default(settings, name)} | {told.get(name, '')} |"
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
    if field.default is PydanticUndefined:
        return "the system's temporary folder" if field.default_factory else "must be set"
    if field.default in (None, (), ""):
        return ""
    is_written_bare = isinstance(field.default, str | Path)
    return f"`{field.default if is_written_bare else json.dumps(field.default)}`"


if __name__ == "__main__":
    PAGE.write_text(page())
