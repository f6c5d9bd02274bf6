"""A strict Bot API server over HTTP, with faults that a test decides call by call.

It lives in the event loop that starts it.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web
from fake_bot_api import MAX_DOCUMENT_BYTES, MAX_DOWNLOAD_BYTES, BotApi, Params, Refused

MAX_UPDATES = 100


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one call. status 0 = the connection is cut. applied: the call has its effect all the same."""

    status: int = 0
    retry_after_s: int | None = None
    delay_s: float = 0.0
    until: Callable[[], bool] = lambda: True
    """It waits for this, too."""
    applied: bool = False
    description: str = "Internal Server Error"


class FakeTelegram(BotApi):
    """decide_fault: asked at every call, at polls that bring something, and at every `download`; None = it succeeds."""

    def __init__(self, token: str, *, clock_scale: float = 1.0, first_number: int = 1) -> None:
        super().__init__(first_number)
        self.token = token
        self.url = ""
        self.calls: list[tuple[str, Params]] = []
        self.too_early: list[str] = []
        self.decide_fault: Callable[[str, Params], Fault | None] = lambda _, __: None
        self.faults = 0
        self._clock_scale = clock_scale
        self._not_before: dict[int, float] = {}
        self._news = asyncio.Event()
        self._poll = 0
        self._runner: web.AppRunner | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._end = asyncio.Event()

    def start_in_thread(self, port: int = 0) -> None:
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live(port, ready)), name="fake telegram")
        self._thread.start()
        assert ready.wait(10)

    def stop_in_thread(self) -> None:
        assert self._loop and self._thread
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(30)

    async def _live(self, port: int, ready: threading.Event) -> None:
        await self.start(port)
        ready.set()
        await self._end.wait()
        await self.stop()

    async def start(self, port: int = 0, host: str | None = "127.0.0.1") -> None:
        """host: None = every address of the machine."""
        self._loop = asyncio.get_running_loop()
        self.announce = self._wake_polls
        app = web.Application(client_max_size=MAX_DOCUMENT_BYTES + 1024 * 1024)
        app.router.add_get("/file/bot{token}/{path:.*}", self._download)
        app.router.add_route("*", "/bot{token}/{method}", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        host, number = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{number}"

    async def stop(self) -> None:
        if self._runner:
            self._news.set()
            await self._runner.cleanup()

    def _wake_polls(self) -> None:
        assert self._loop
        self._loop.call_soon_threadsafe(self._news.set)

    async def push_webhook(self, update: dict[str, Any], *, secret: str | None = None) -> int:
        """One try at delivering an update to the webhook; the status that came back."""
        assert self.webhook
        headers = {"X-Telegram-Bot-Api-Secret-Token": self.webhook["secret_token"] if secret is None else secret}
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.webhook["url"], json=update, headers=headers) as response,
        ):
            return response.status

    async def _download(self, request: web.Request) -> web.Response:
        self._check_token(request)
        if self.decide_fault("download", {}):
            raise web.HTTPBadGateway
        content, size = self._files.get(request.match_info["path"].removeprefix("voice/"), (None, 0))
        if content is None or size > MAX_DOWNLOAD_BYTES:
            raise web.HTTPNotFound
        return web.Response(body=content)

    def _check_token(self, request: web.Request) -> None:
        if not hmac.compare_digest(request.match_info["token"], self.token):
            raise Refused(401, "Unauthorized")

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        try:
            self._check_token(request)
            params = await self._params(request)
            method = request.match_info["method"]
            result = await self._call(request, method, params)
        except Refused as refusal:
            return web.json_response(refusal.body, status=refusal.status)
        return web.json_response({"ok": True, "result": result})

    async def _params(self, request: web.Request) -> Params:
        params: Params = dict(request.query)
        for name, value in (await request.post()).items():
            if isinstance(value, web.FileField):
                params[name] = (value.filename, value.file.read())
                continue
            try:
                params[name] = json.loads(value) if isinstance(value, str) and value[:1] in "[{" else value
            except ValueError:
                params[name] = value
        return params

    async def _call(self, request: web.Request, method: str, params: Params) -> Any:
        handler = getattr(self, "_" + re.sub("[A-Z]", lambda capital: "_" + capital[0].lower(), method), None)
        if handler is None:
            raise Refused(404, "Not Found")
        if method == "getUpdates":
            found = await self._get_updates(params)
            if found and (fault := self.decide_fault(method, params)):
                raise self._refusal(fault)
            return found
        self.calls.append((method, params))
        fault = self.decide_fault(method, params)
        if fault is None:
            self._check_pause(method, params)
            return handler(params)
        self.faults += 1
        if fault.applied:
            handler(params)
        await asyncio.sleep(fault.delay_s * self._clock_scale)
        while not fault.until():  # noqa: ASYNC110 - the test looks at what came meanwhile
            await asyncio.sleep(0.05)
        if fault.status == 0:
            assert request.transport
            request.transport.abort()
            raise Refused(500, "cut")
        if fault.status == 200:
            return True if fault.applied else handler(params)
        if fault.retry_after_s is not None:
            self._pause(params, fault.retry_after_s)
        raise self._refusal(fault)

    def _refusal(self, fault: Fault) -> Refused:
        if fault.retry_after_s is None:
            return Refused(fault.status if fault.status >= 400 else 502, fault.description)
        return Refused(429, f"Too Many Requests: retry after {fault.retry_after_s}", retry_after=fault.retry_after_s)

    def _pause(self, params: Params, retry_after_s: int) -> None:
        if "chat_id" in params:
            now = asyncio.get_running_loop().time()
            self._not_before[int(params["chat_id"])] = now + retry_after_s * self._clock_scale

    def _check_pause(self, method: str, params: Params) -> None:
        """A call before the end of its chat's pause is refused and remembered."""
        if "chat_id" not in params:
            return
        left_s = self._not_before.get(int(params["chat_id"]), 0.0) - asyncio.get_running_loop().time()
        if left_s > 0:
            self.too_early.append(method)
            seconds = max(1, round(left_s / self._clock_scale))
            raise Refused(429, f"Too Many Requests: retry after {seconds}", retry_after=seconds)

    async def _get_updates(self, params: Params) -> list[dict[str, Any]]:
        if self.webhook:
            raise Refused(409, "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook")
        self._poll += 1
        mine = self._poll
        self._news.set()
        if offset := int(params.get("offset", 0)):
            self.confirmed = max(self.confirmed, offset)
        self._updates = self.waiting()
        allowed = params.get("allowed_updates")
        deadline = asyncio.get_running_loop().time() + float(params.get("timeout", 0))
        while True:
            found = [update for update in self._updates if not allowed or set(update) & set(allowed)]
            left_s = deadline - asyncio.get_running_loop().time()
            if found or left_s <= 0:
                return found[: int(params.get("limit", MAX_UPDATES))]
            self._news.clear()
            try:
                async with asyncio.timeout(left_s):
                    await self._news.wait()
            except TimeoutError:
                return []
            if mine != self._poll:
                raise Refused(409, "Conflict: terminated by other getUpdates request")
