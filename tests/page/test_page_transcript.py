"""The transcript on the web page: followed by ear and by keyboard, downloaded, copied."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from page_harness import Open, sentences, state, talk
from playwright.sync_api import expect
from up_harness import spoken


def test_a_click_on_a_sentence_plays_it_and_marks_it(visit: Open) -> None:
    tab = visit()
    card = tab.send("seek.mp3", talk(20))
    expect(state(card)).to_have_text("Done")
    chosen = sentences(card).nth(1)
    chosen.click()
    expect(chosen).to_have_attribute("aria-current", "true")
    expect(card.locator("[aria-current]")).to_have_count(1)
    player = card.locator("audio")
    begin_s = player.evaluate("(audio) => audio.currentTime")
    assert begin_s > 1
    expect(player).to_have_js_property("paused", False)
    tab.draw("playing")
    sentences(card).first.click()
    expect(sentences(card).first).to_have_attribute("aria-current", "true")
    assert player.evaluate("(audio) => audio.currentTime") < begin_s


def test_arrow_keys_move_between_sentences_and_tab_leaves_them(visit: Open) -> None:
    tab = visit()
    card = tab.send_sample("message.mp3", "keys.mp3")
    expect(state(card)).to_have_text("Done")
    sentences(card).first.focus()
    tab.page.keyboard.press("ArrowRight")
    expect(sentences(card).nth(1)).to_be_focused()
    tab.page.keyboard.press("Enter")
    expect(sentences(card).nth(1)).to_have_attribute("aria-current", "true")
    tab.page.keyboard.press("End")
    expect(sentences(card).last).to_be_focused()
    assert card.locator('.sentence[tabindex="0"]').count() == 1


def test_the_text_is_downloaded_in_every_format(visit: Open, tmp_path: Path) -> None:
    tab = visit()
    card = tab.send_sample("voice-note.ogg", "a.note.ogg")
    for button in ("TXT", "SRT", "VTT", "JSON"):
        with tab.page.expect_download() as download:
            tab.button(card, f"Download {button}").click()
        download.value.save_as(tmp_path / download.value.suggested_filename)
    saved = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert saved.keys() == {"a.note.txt", "a.note.srt", "a.note.vtt", "a.note.json"}
    assert saved["a.note.txt"] == spoken("voice-note.ogg") + "\n"
    assert saved["a.note.srt"].startswith("1\n00:00:0")
    assert saved["a.note.vtt"].startswith("WEBVTT\n")
    assert json.loads(saved["a.note.json"])["segments"]


def test_the_text_is_copied(visit: Open) -> None:
    tab = visit(permissions=["clipboard-read", "clipboard-write"])
    card = tab.send_sample("note.webm", "copied.webm")
    tab.button(card, "Copy").click()
    expect(tab.button(card, "Copied")).to_be_visible()
    expect(tab.page.get_by_role("status")).to_have_text("Copied")
    assert tab.page.evaluate("() => navigator.clipboard.readText()") == spoken("note.webm")


@pytest.mark.parametrize("has_clipboard", [True, False])
def test_the_text_is_copied_as_the_service_writes_it(visit: Open, has_clipboard: bool) -> None:
    tab = visit(permissions=["clipboard-read", "clipboard-write"])
    if not has_clipboard:
        tab.page.evaluate("() => delete window.ClipboardItem")
    written = "今天天气很好。我们去散步吧。"
    tab.page.route(re.compile(r"/result$"), lambda route: route.fulfill(json={"text": written}))
    tab.button(tab.send_sample("note.flac", "spaceless.flac"), "Copy").click()
    expect(tab.page.get_by_role("status")).to_have_text("Copied")
    assert tab.page.evaluate("() => navigator.clipboard.readText()") == written


def test_a_text_that_the_browser_does_not_copy_is_told_in_words(visit: Open) -> None:
    tab = visit()
    tab.page.evaluate(
        "() => (navigator.clipboard.write = () => Promise.reject(new DOMException('', 'NotAllowedError')))"
    )
    card = tab.send_sample("note.flac", "uncopied.flac")
    tab.button(card, "Copy").click()
    expect(card.locator(".problem")).to_have_text("The browser did not copy the text. Try again, or save it as TXT.")


def test_a_text_that_does_not_come_to_be_copied_is_told_in_words(visit: Open) -> None:
    tab = visit(permissions=["clipboard-read", "clipboard-write"])
    card = tab.send_sample("note.flac", "cut-off.flac")
    tab.page.route("**/result", lambda route: route.abort())
    tab.button(card, "Copy").click()
    expect(card.locator(".problem")).to_have_text("The service cannot be reached. Check the connection.")
    assert tab.complaints == []
