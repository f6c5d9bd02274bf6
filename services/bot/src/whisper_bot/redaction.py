"""The token is taken out of everything that is logged, whoever logs it: file addresses have it too."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

HIDDEN = "<token>"


def without(secret: str, value: Any) -> Any:
    """The same value with the secret replaced wherever it stands."""
    if isinstance(value, str):
        return value.replace(secret, HIDDEN)
    if isinstance(value, Mapping):
        return {key: without(secret, each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [without(secret, each) for each in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return str(value).replace(secret, HIDDEN)


class _Hiding(logging.Formatter):
    def __init__(self, secret: str) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")
        self._secret = secret

    def format(self, record: logging.LogRecord) -> str:
        return str(without(self._secret, super().format(record)))


def install(secret: str) -> None:
    """After the logs have been configured: for our own lines, and for those of the libraries."""

    def hide(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return {key: without(secret, value) for key, value in event.items()}

    *processors, renderer = structlog.get_config()["processors"]
    structlog.configure(processors=[*processors, hide, renderer])
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Hiding(secret))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
