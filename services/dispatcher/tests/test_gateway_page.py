"""The web page's files: open to everybody, and nothing but files."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from gateway_harness import Stage, stage

from whisper_dispatcher.gateway.page_routes import FOLDER


@pytest.fixture
async def on(nats_url: str) -> AsyncIterator[Stage]:
    async with stage(nats_url) as running:
        del running.http.headers["X-API-Key"]
        yield running


async def test_the_page_needs_no_key_and_the_api_does(on: Stage) -> None:
    page = await on.http.get("/")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "<title>Whisperfleet</title>" in page.text
    assert (await on.http.get("/v1/jobs")).status_code == 401


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.iterdir()))
async def test_every_file_is_served_under_the_strict_policy(on: Stage, name: str) -> None:
    answer = await on.http.get(f"/page/{name}")
    assert answer.content == (FOLDER / name).read_bytes()
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in str(policy) and "http" not in str(policy)
    assert policy["frame-ancestors"] == policy["form-action"] == policy["base-uri"] == "'none'"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", ["none.js", "..%2Fapp.py", "%2E%2E/app.py", "__init__.py"])
async def test_there_is_no_other_file(on: Stage, name: str) -> None:
    assert (await on.http.get(f"/page/{name}")).status_code == 404


async def test_a_file_that_has_not_changed_is_not_sent_again(on: Stage) -> None:
    first = await on.http.get("/page/main.js")
    again = await on.http.get("/page/main.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
