"""What is said into the microphone on the web page."""

from __future__ import annotations

import re

from page_harness import Open, state, text
from playwright.sync_api import expect

KEEP_MICROPHONE = """() => {
  const devices = navigator.mediaDevices;
  const ask = devices.getUserMedia.bind(devices);
  devices.getUserMedia = async (wanted) => (window.microphone = await ask(wanted));
}"""
ALLOW_LATER = """() => {
  const devices = navigator.mediaDevices;
  const ask = devices.getUserMedia.bind(devices);
  devices.getUserMedia = async (wanted) => {
    await new Promise((resolve) => (window.allow = resolve));
    return (window.microphone = await ask(wanted));
  };
}"""
IS_LET_GO = "() => window.microphone?.getTracks().every((track) => track.readyState === 'ended')"


def test_what_is_said_into_the_microphone_becomes_text(visit: Open) -> None:
    tab = visit(permissions=["microphone"])
    tab.page.get_by_role("button", name="Record").click()
    stop = tab.page.get_by_role("button", name=re.compile("Stop and send"))
    tab.wait_recorded("0:04")
    tab.draw("recording")
    stop.click()
    card = tab.page.get_by_role("listitem").first
    expect(state(card)).to_have_text("Done")
    assert "hello world" in text(card)
    assert card.locator("h3").inner_text().startswith("recording-")


def test_a_microphone_that_goes_away_loses_nothing_of_what_was_said(visit: Open) -> None:
    tab = visit(permissions=["microphone"])
    tab.page.evaluate(KEEP_MICROPHONE)
    record = tab.page.locator("#record")
    record.click()
    tab.wait_recorded("0:04")
    tab.page.evaluate("() => window.microphone.getTracks().forEach((track) => track.stop())")
    card = tab.page.get_by_role("listitem").filter(has_text="hello world")
    expect(state(card)).to_have_text("Done")
    expect(record).to_have_text("Record")
    assert tab.complaints == []


def test_a_microphone_that_is_allowed_after_sign_out_is_let_go_of(visit: Open) -> None:
    tab = visit(permissions=["microphone"])
    tab.page.evaluate(ALLOW_LATER)
    tab.page.locator("#record").click()
    tab.page.wait_for_function("() => window.allow")
    tab.page.get_by_role("button", name="Sign out").click()
    tab.page.evaluate("() => window.allow()")
    tab.page.wait_for_function(IS_LET_GO)
    tab.sign_in()
    expect(tab.page.locator("#record")).to_have_text("Record")
    assert tab.complaints == []
