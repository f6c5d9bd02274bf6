"""A strict Bot API server: it keeps what a chat shows and refuses what Telegram refuses, with Telegram's words.

The server lives in the event loop that starts it; what people do and see may be asked from another thread,
so lists are copied before they are walked through. Faults are decided by the test, call by call.
"""

from __future__ import annotations

import asyncio
import hmac
import itertools
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

MAX_TEXT_UNITS = 4096
MAX_CAPTION_UNITS = 1024
MAX_DOWNLOAD_BYTES = 20 * 1024 * 1024
MAX_DOCUMENT_BYTES = 50 * 1024 * 1024
MAX_CALLBACK_DATA_BYTES = 64
MAX_UPDATES = 100
ENTITY_TYPES = ("bold", "italic", "code", "pre", "blockquote", "expandable_blockquote", "text_link")
REACTIONS = ("👍", "👎", "👀", "🔥", "👌", "✍")
BOT_ID = 4242

Params = dict[str, Any]


class Refused(Exception):
    def __init__(self, status: int, description: str, **parameters: Any) -> None:
        self.body = {"ok": False, "error_code": status, "description": description}
        if parameters:
            self.body["parameters"] = parameters
        self.status = status
        super().__init__(description)


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one call. status 0 = the connection is cut. applied: the call has its effect all the same."""

    status: int = 0
    retry_after_s: int | None = None
    delay_s: float = 0.0
    applied: bool = False
    description: str = "Internal Server Error"


@dataclass(slots=True)
class Shown:
    """A message as the chat shows it."""

    message_id: int
    chat: int
    by_bot: bool
    text: str = ""
    entities: list[dict[str, Any]] = field(default_factory=list)
    document: bytes | None = None
    file_name: str = ""
    caption: str = ""
    reply_to: int | None = None
    markup: dict[str, Any] | None = None
    silent: bool = False
    edits: list[str] = field(default_factory=list)

    @property
    def words(self) -> str:
        return self.document.decode() if self.document is not None else self.text

    def buttons(self) -> dict[str, str]:
        rows = (self.markup or {}).get("inline_keyboard", [])
        return {button["text"]: button["callback_data"] for row in rows for button in row}


def utf16_units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


class FakeTelegram:
    """decide_fault: asked at every call, at polls that bring something, and at every `download`; None = it succeeds."""

    def __init__(self, token: str, *, clock_scale: float = 1.0, first_number: int = 1) -> None:
        self.token = token
        self.url = ""
        self.messages: dict[tuple[int, int], Shown] = {}
        self.calls: list[tuple[str, Params]] = []
        self.reactions: dict[tuple[int, int], str] = {}
        self.callback_answers: dict[str, str] = {}
        self.too_early: list[str] = []
        self.blocked: set[int] = set()
        self.migrated: dict[int, int] = {}
        self.admins: set[tuple[int, int]] = set()
        self.decide_fault: Callable[[str, Params], Fault | None] = lambda _, __: None
        self.webhook: dict[str, str] | None = None
        self.confirmed = 0
        self.faults = 0
        self._clock_scale = clock_scale
        self._not_before: dict[int, float] = {}
        self._files: dict[str, tuple[bytes, int]] = {}
        self._updates: list[dict[str, Any]] = []
        self._numbers = itertools.count(first_number)
        self._update_numbers = itertools.count(999 + first_number)
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

    # What people do in the chats

    def say(self, chat: int, *, user: int = 0, **content: Any) -> int:
        """A person's message; content as in a Message: text=, voice=, reply_to=… Its id comes back."""
        message_id = next(self._numbers)
        self.messages[chat, message_id] = Shown(message_id, chat, by_bot=False, text=content.get("text", ""))
        self._push({"message": self._message(chat, message_id, user, content)})
        return message_id

    def _message(self, chat: int, message_id: int, user: int, content: dict[str, Any]) -> dict[str, Any]:
        content = dict(content)
        language = content.pop("language_code", "en")
        reply = content.pop("reply", None)
        sender = {"id": user or abs(chat), "is_bot": False, "first_name": "Ann", "language_code": language}
        kind = "private" if chat > 0 else "supergroup"
        message = {"message_id": message_id, "date": 1_700_000_000, "chat": {"id": chat, "type": kind}, "from": sender}
        if reply:
            message["reply_to_message"] = self._message(chat, reply[0], user, reply[1])
        return message | content

    def tap(self, chat: int, message_id: int, data: str, *, user: int = 0, language_code: str = "en") -> str:
        """Taps a button under one of the bot's messages; the callback's id comes back."""
        assert data in self.messages[chat, message_id].buttons().values()
        number = str(next(self._numbers))
        self.callback_answers[number] = ""
        sender = {"id": user or abs(chat), "is_bot": False, "first_name": "Ann", "language_code": language_code}
        under = self._message(chat, message_id, BOT_ID, {"text": "…"})
        query = {"id": number, "from": sender, "message": under, "chat_instance": "1", "data": data}
        self._push({"callback_query": query})
        return number

    def join(self, chat: int) -> None:
        """The bot is added to a group."""
        base = self._message(chat, 0, 77, {})
        member = {"user": {"id": BOT_ID, "is_bot": True, "first_name": "Bot"}}
        change = {"old_chat_member": member | {"status": "left"}, "new_chat_member": member | {"status": "member"}}
        self._push({"my_chat_member": {"chat": base["chat"], "from": base["from"], "date": 1} | change})

    def push_again(self, update: dict[str, Any]) -> None:
        self._updates.append(update)
        assert self._loop
        self._loop.call_soon_threadsafe(self._news.set)

    def _push(self, update: dict[str, Any]) -> None:
        self.push_again({"update_id": next(self._update_numbers)} | update)

    def add_file(self, content: bytes, *, file_id: str = "", size_bytes: int | None = None) -> str:
        """size_bytes: what the server says, where the content is smaller for the test's sake."""
        file_id = file_id or f"file-{next(self._numbers)}"
        self._files[file_id] = (content, len(content) if size_bytes is None else size_bytes)
        return file_id

    def voice(self, content: bytes, duration_s: int = 3) -> dict[str, Any]:
        file_id = self.add_file(content)
        return {
            "voice": {
                "file_id": file_id,
                "file_unique_id": f"u{file_id}",
                "duration": duration_s,
                "mime_type": "audio/ogg",
                "file_size": len(content),
            }
        }

    def replies_to(self, chat: int, message_id: int) -> list[Shown]:
        found = [shown for shown in list(self.messages.values()) if shown.chat == chat and shown.reply_to == message_id]
        return sorted(found, key=lambda shown: shown.message_id)

    def by_bot(self, chat: int) -> list[Shown]:
        found = [shown for shown in list(self.messages.values()) if shown.chat == chat and shown.by_bot]
        return sorted(found, key=lambda shown: shown.message_id)

    async def push_webhook(self, update: dict[str, Any], *, secret: str | None = None) -> int:
        """One try at delivering an update to the webhook; the status that came back."""
        assert self.webhook
        headers = {"X-Telegram-Bot-Api-Secret-Token": self.webhook["secret_token"] if secret is None else secret}
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.webhook["url"], json=update, headers=headers) as response,
        ):
            return response.status

    def waiting(self) -> list[dict[str, Any]]:
        """Updates that have not been confirmed."""
        return [update for update in self._updates if update["update_id"] >= self.confirmed]

    # The server

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
            if found and self.decide_fault(method, params):
                raise Refused(502, "Bad Gateway")
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
        if fault.status == 0:
            assert request.transport
            request.transport.abort()
            raise Refused(500, "cut")
        if fault.status == 200:
            return True if fault.applied else handler(params)
        if fault.retry_after_s is not None:
            self._pause(params, fault.retry_after_s)
            raise Refused(429, f"Too Many Requests: retry after {fault.retry_after_s}", retry_after=fault.retry_after_s)
        raise Refused(fault.status, fault.description)

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

    def _get_me(self, _: Params) -> dict[str, Any]:
        return {"id": BOT_ID, "is_bot": True, "first_name": "Scribe", "username": "scribe_bot"}

    def _set_my_commands(self, params: Params) -> bool:
        if not all(1 <= len(c["description"]) <= 256 for c in params["commands"]):
            raise Refused(400, "Bad Request: BOT_COMMAND_DESCRIPTION_INVALID")
        return True

    def _set_webhook(self, params: Params) -> bool:
        self.webhook = {"url": params["url"], "secret_token": params.get("secret_token", "")}
        return True

    def _delete_webhook(self, params: Params) -> bool:
        assert str(params.get("drop_pending_updates", "false")).lower() == "false", "messages would be lost"
        self.webhook = None
        return True

    def _get_file(self, params: Params) -> dict[str, Any]:
        if params["file_id"] not in self._files:
            raise Refused(400, "Bad Request: wrong file_id or the file is temporarily unavailable")
        if self._files[params["file_id"]][1] > MAX_DOWNLOAD_BYTES:
            raise Refused(400, "Bad Request: file is too big")
        file_id = params["file_id"]
        size = self._files[file_id][1]
        return {"file_id": file_id, "file_unique_id": "u", "file_size": size, "file_path": f"voice/{file_id}"}

    def _get_chat_member(self, params: Params) -> dict[str, Any]:
        chat, user = int(params["chat_id"]), int(params["user_id"])
        status = "administrator" if (chat, user) in self.admins else "member"
        return {"status": status, "user": {"id": user, "is_bot": False, "first_name": "Ann"}}

    def _chat(self, params: Params) -> int:
        chat = int(params["chat_id"])
        if chat in self.blocked:
            raise Refused(403, "Forbidden: bot was blocked by the user")
        if chat in self.migrated:
            description = "Bad Request: group chat was upgraded to a supergroup chat"
            raise Refused(400, description, migrate_to_chat_id=self.migrated[chat])
        return chat

    def _new_message(self, params: Params) -> Shown:
        chat = self._chat(params)
        reply = params.get("reply_parameters") or {}
        reply_to = reply.get("message_id")
        if reply_to and (chat, reply_to) not in self.messages:
            if not reply.get("allow_sending_without_reply"):
                raise Refused(400, "Bad Request: message to be replied not found")
            reply_to = None
        silent = str(params.get("disable_notification", "false")).lower() == "true"
        shown = Shown(next(self._numbers), chat, by_bot=True, reply_to=reply_to, silent=silent)
        shown.markup = _checked_markup(params)
        return shown

    def _keep(self, shown: Shown) -> dict[str, Any]:
        self.messages[shown.chat, shown.message_id] = shown
        kind = "private" if shown.chat > 0 else "supergroup"
        return {"message_id": shown.message_id, "date": 1, "chat": {"id": shown.chat, "type": kind}, "text": shown.text}

    def _send_message(self, params: Params) -> dict[str, Any]:
        shown = self._new_message(params)
        shown.text, shown.entities = _checked_text(params)
        return self._keep(shown)

    def _send_document(self, params: Params) -> dict[str, Any]:
        shown = self._new_message(params)
        shown.file_name, shown.document = _document(params["document"], params)
        shown.caption = _checked_caption(params.get("caption", ""))
        return self._keep(shown)

    def _own(self, params: Params) -> Shown:
        shown = self.messages.get((self._chat(params), int(params["message_id"])))
        if shown is None:
            raise Refused(400, "Bad Request: message to edit not found")
        if not shown.by_bot:
            raise Refused(400, "Bad Request: message can't be edited")
        return shown

    def _edit_message_text(self, params: Params) -> dict[str, Any]:
        shown = self._own(params)
        if shown.document is not None:
            raise Refused(400, "Bad Request: there is no text in the message to edit")
        text, entities = _checked_text(params)
        markup = _checked_markup(params)
        if (text, entities, markup) == (shown.text, shown.entities, shown.markup):
            raise Refused(
                400,
                "Bad Request: message is not modified: specified new message content and reply markup are exactly "
                "the same as a current content and reply markup of the message",
            )
        shown.edits.append(shown.text)
        shown.text, shown.entities, shown.markup = text, entities, markup
        return self._keep(shown)

    def _edit_message_media(self, params: Params) -> dict[str, Any]:
        shown = self._own(params)
        media = params["media"]
        assert media["type"] == "document"
        shown.edits.append(shown.text)
        shown.file_name, shown.document = _document(media["media"], params)
        shown.caption = _checked_caption(media.get("caption", ""))
        shown.text, shown.entities, shown.markup = "", [], _checked_markup(params)
        return self._keep(shown)

    def _delete_message(self, params: Params) -> bool:
        self.messages.pop((self._chat(params), self._own(params).message_id))
        return True

    def _set_message_reaction(self, params: Params) -> bool:
        chat, message_id = self._chat(params), int(params["message_id"])
        (reaction,) = params["reaction"]
        if reaction["emoji"] not in REACTIONS:
            raise Refused(400, "Bad Request: REACTION_INVALID")
        if (chat, message_id) not in self.messages:
            raise Refused(400, "Bad Request: message to react not found")
        self.reactions[chat, message_id] = reaction["emoji"]
        return True

    def _send_chat_action(self, params: Params) -> bool:
        self._chat(params)
        return True

    def _answer_callback_query(self, params: Params) -> bool:
        number = params["callback_query_id"]
        if number not in self.callback_answers:
            raise Refused(400, "Bad Request: query is too old and response timeout expired or query ID is invalid")
        text = params.get("text", "")
        if utf16_units(text) > 200:
            raise Refused(400, "Bad Request: MESSAGE_TOO_LONG")
        self.callback_answers[number] = text
        return True


def _checked_text(params: Params) -> tuple[str, list[dict[str, Any]]]:
    text = params.get("text", "")
    if not text.strip():
        raise Refused(400, "Bad Request: message text is empty")
    if utf16_units(text) > MAX_TEXT_UNITS:
        raise Refused(400, "Bad Request: MESSAGE_TOO_LONG")
    entities = params.get("entities") or []
    for entity in entities:
        inside = entity["offset"] >= 0 and 0 < entity["length"] <= utf16_units(text) - entity["offset"]
        if entity["type"] not in ENTITY_TYPES or not inside:
            raise Refused(400, "Bad Request: ENTITY_BOUNDS_INVALID")
    return text.strip(), entities


def _checked_caption(caption: str) -> str:
    if utf16_units(caption) > MAX_CAPTION_UNITS:
        raise Refused(400, "Bad Request: message caption is too long")
    return caption


def _checked_markup(params: Params) -> dict[str, Any] | None:
    markup: dict[str, Any] | None = params.get("reply_markup")
    for row in (markup or {}).get("inline_keyboard", []):
        for button in row:
            if not button["text"] or not 1 <= len(button["callback_data"].encode()) <= MAX_CALLBACK_DATA_BYTES:
                raise Refused(400, "Bad Request: BUTTON_DATA_INVALID")
    return markup if markup and any(markup["inline_keyboard"]) else None


def _document(reference: Any, params: Params) -> tuple[str, bytes]:
    if isinstance(reference, str):
        reference = params.get(reference.removeprefix("attach://"))
    if not isinstance(reference, tuple):
        raise Refused(400, "Bad Request: wrong remote file identifier specified")
    name, content = reference
    if not content:
        raise Refused(400, "Bad Request: file must be non-empty")
    if len(content) > MAX_DOCUMENT_BYTES:
        raise Refused(413, "Request Entity Too Large")
    return name, content
