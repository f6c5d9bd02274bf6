"""The web page as a person has it: a browser in front of `whisperfleet up` with the demo model."""

from __future__ import annotations

import base64
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright
from tests.programs import program
from up_harness import Up

from whisper_models.bundled import sample_path

IMAGES = "WHISPERFLEET_PAGE_IMAGES"
"""Set to a folder, each state of the page is drawn into it."""
PATIENCE_MS = 60_000
SERIOUS = {"serious", "critical"}
TALK = "minutes.mp3"
TALK_BYTES_PER_S = 5000
DROP = """([name, data]) => {
  const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name));
  document.querySelector("#drop").dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
}"""
SHOWS = """([text, limitMs]) => new Promise((resolve, reject) => {
  const look = () => document.querySelector("#record").innerText.trim() === text ? resolve() : requestAnimationFrame(look);
  setTimeout(() => reject(new Error(`The button never showed: ${text}`)), limitMs);
  look();
})"""
"""A second shows for a second: too short for the looks of `expect`."""

expect.set_options(timeout=PATIENCE_MS)


@contextmanager
def chromium() -> Iterator[Browser]:
    microphone = [
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={sample_path('hello.wav')}",
    ]
    executable = program("chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=executable,
            args=["--autoplay-policy=no-user-gesture-required", *microphone],
        )
        try:
            yield browser
        finally:
            browser.close()


class Visit:
    """One tab. What its console complained about, and what it asked of other hosts, is in `complaints`."""

    def __init__(self, context: BrowserContext, up: Up) -> None:
        self.up = up
        ready = up.wait_ready()
        self.url, self.key = ready["url"], ready["key"]
        self.page: Page = context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", lambda message: self._hear(message.type, message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self._watch(request.url))
        self.page.goto(self.url)

    def _hear(self, kind: str, text: str) -> None:
        # The browser itself notes each refused request.
        if kind in ("error", "warning") and not text.startswith("Failed to load resource"):
            self.complaints.append(text)

    def _watch(self, address: str) -> None:
        if not address.startswith((self.url, "blob:")):
            self.complaints.append(f"asked another host: {address}")

    def sign_in(self, key: str | None = None) -> None:
        self.page.locator("#key").fill(key or self.key)
        self.page.locator("#sign-in button").click()

    def send(self, name: str, data: bytes) -> Locator:
        """Its card."""
        self._wait_signed_in()
        self.page.locator("#files").set_input_files({"name": name, "mimeType": "", "buffer": data})
        return self.card(name)

    def drop(self, name: str, data: bytes) -> Locator:
        self._wait_signed_in()
        self.page.evaluate(DROP, [name, base64.b64encode(data).decode()])
        return self.card(name)

    def _wait_signed_in(self) -> None:
        """Before that the page does not hear that a file is chosen."""
        self.page.locator("#workspace").wait_for()

    def send_sample(self, sample: str, name: str) -> Locator:
        return self.send(name, sample_path(sample).read_bytes())

    def card(self, name: str) -> Locator:
        return self.page.get_by_role("listitem", name=name, exact=True)

    def button(self, card: Locator, name: str) -> Locator:
        return card.get_by_role("button", name=name, exact=True)

    def wait_recorded(self, shown: str) -> None:
        self.page.evaluate(SHOWS, [f"Stop and send ({shown})", PATIENCE_MS])

    def draw(self, name: str) -> None:
        if folder := os.environ.get(IMAGES):
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(folder) / f"{name}.png", animations="disabled")


class Open(Protocol):
    """options: of a Playwright context."""

    def __call__(self, *, is_signed_in: bool = True, **options: Any) -> Visit: ...


def state(card: Locator) -> Locator:
    return card.locator(".state")


def sentences(card: Locator) -> Locator:
    return card.locator(".sentence")


def text(card: Locator) -> str:
    return " ".join(card.locator(".text").inner_text().split())


def found_by_axe(tab: Visit, where: str) -> list[str]:
    answer = Axe().run(tab.page)
    return [
        f"{where}: {violation['id']}: {node['html']}"
        for violation in answer.response["violations"]
        if violation["impact"] in SERIOUS
        for node in violation["nodes"]
    ]


def talk(seconds: int) -> bytes:
    """The beginning of a longer recording: a window for every 20 s or so."""
    return sample_path(TALK).read_bytes()[: seconds * TALK_BYTES_PER_S]


@contextmanager
def halted(pid: int) -> Iterator[None]:
    """The process does nothing inside."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
