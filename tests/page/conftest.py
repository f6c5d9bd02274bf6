from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from page_harness import PATIENCE_MS, Open, Visit, chromium
from playwright.sync_api import Browser
from rich.console import Console
from up_harness import Up, started

from whisper_dispatcher.local.tools import ensure_whisper_server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # Not for the whole session: while it is open no other test of this process can have an event loop.
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def up(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """After the browser, so that nothing is started where there is none."""
    binary: Path = ensure_whisper_server(Console(stderr=True))
    with started(tmp_path_factory.mktemp("page"), binary) as running:
        yield running


@pytest.fixture
def visit(browser: Browser, up: Up) -> Iterator[Open]:
    """Opens the page in a browser without a past; `options` are those of a Playwright context."""
    with ExitStack() as contexts:

        def opened(*, is_signed_in: bool = True, **options: Any) -> Visit:
            context = contexts.enter_context(
                browser.new_context(**({"locale": "en-GB", "viewport": {"width": 800, "height": 600}} | options))
            )
            context.set_default_timeout(PATIENCE_MS)
            visit = Visit(context, up)
            if is_signed_in:
                visit.sign_in()
                visit.page.locator("#workspace").wait_for()
            return visit

        yield opened
