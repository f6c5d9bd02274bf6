"""The web page for everyone: in their language, by keyboard, by ear, in the dark, on a phone."""

from __future__ import annotations

import re

import pytest
from page_harness import Open, Visit, found_by_axe, halted, sentences, state
from playwright.sync_api import Locator, expect
from up_harness import Up

from whisper_models.bundled import sample_path

LISTEN = """() => {
  window.heard = [];
  const news = document.querySelector("[role=status]");
  new MutationObserver(() => window.heard.push(news.textContent)).observe(news, { childList: true });
}"""
UNSEEN_FOCUS = """() => {
  const it = document.activeElement;
  return it.tagName !== "AUDIO" && getComputedStyle(it).outlineStyle === "none" && it.outerHTML;
}"""
PHONE = {"width": 360, "height": 740}


def test_the_page_speaks_the_browsers_language_until_another_is_chosen(visit: Open) -> None:
    tab = visit(locale="ru-RU")
    expect(tab.page.get_by_role("heading", name="Ваши записи")).to_be_visible()
    card = tab.send_sample("note.flac", "russian.flac")
    expect(state(card)).to_have_text("Готово")
    tab.draw("russian")
    tab.page.locator("#language").select_option("en")
    expect(state(card)).to_have_text("Done")
    tab.page.reload()
    expect(tab.page.get_by_role("heading", name="Your recordings")).to_be_visible()
    assert tab.page.locator("html").get_attribute("lang") == "en"


def test_everything_is_done_with_the_keyboard_alone(visit: Open) -> None:
    tab = visit(is_signed_in=False)
    keys = tab.page.keyboard
    # Asked for now, since a chooser that opens before the browser knows that it is wanted here is never told of.
    tab.page.on("filechooser", lambda _: None)
    expect(tab.page.locator("#key")).to_be_focused()
    keys.type(tab.key)
    keys.press("Enter")
    expect(tab.page.locator("#files")).to_be_focused()
    with tab.page.expect_file_chooser() as chooser:
        keys.press("Enter")
    chooser.value.set_files({"name": "typed.flac", "mimeType": "", "buffer": sample_path("note.flac").read_bytes()})
    card = tab.card("typed.flac")
    expect(state(card)).to_have_text("Done")
    tab_to(tab, tab.button(card, "Download TXT"))
    with tab.page.expect_download() as download:
        keys.press("Enter")
    assert download.value.suggested_filename == "typed.txt"
    tab_to(tab, sentences(card).first)
    tab.page.on("dialog", lambda dialog: dialog.accept())
    tab_to(tab, tab.button(card, "Delete"), "Shift+Tab")
    keys.press("Space")
    expect(card).to_have_count(0)
    expect(tab.page.locator("#jobs-title:focus, #jobs h3:focus")).to_have_count(1)


def test_a_recording_is_ended_with_the_key_that_began_it(visit: Open) -> None:
    tab = visit(permissions=["microphone"])
    tab.page.locator("#record").focus()
    tab.page.keyboard.press("Enter")
    tab.wait_recorded("0:01")
    tab.page.keyboard.press("Enter")
    expect(tab.page.get_by_role("listitem").first.locator("h3")).to_contain_text("recording-")
    expect(tab.page.locator("#record")).to_have_text("Record")


def tab_to(tab: Visit, target: Locator, key: str = "Tab", most: int = 30) -> None:
    """Where the focus is can be seen at every stop; the browser draws it itself inside a player."""
    for _ in range(most):
        tab.page.keyboard.press(key)
        unseen = tab.page.evaluate(UNSEEN_FOCUS)
        assert not unseen, unseen
        if target.evaluate("(it) => it === document.activeElement"):
            return
    raise AssertionError(f"{key} does not come to {target}")


def test_a_screen_reader_hears_how_each_of_many_files_ended(visit: Open) -> None:
    tab = visit()
    tab.page.evaluate(LISTEN)
    sound = {"name": "heard.flac", "mimeType": "", "buffer": sample_path("note.flac").read_bytes()}
    letter = {"name": "unheard.txt", "mimeType": "", "buffer": b"Dear Sir or Madam, this is no sound at all."}
    tab.page.locator("#files").set_input_files([sound, letter])  # type: ignore[list-item]
    done = tab.card("heard.flac")
    expect(state(done)).to_have_text("Done")
    expect(state(tab.card("unheard.txt"))).to_have_text("Failed")
    heard = tab.page.evaluate("window.heard")
    assert heard[0] == "heard.flac, unheard.txt"
    assert "heard.flac: Done" in heard
    assert "unheard.txt: Failed. The file is no audio that can be read. Send another one." in heard
    expect(done).to_match_aria_snapshot(
        """
        - listitem "heard.flac":
          - heading "heard.flac" [level=3]
          - paragraph
          - paragraph: Done
          - button "Hide text" [expanded]
          - button "Copy"
          - button "Download TXT"
          - button "Download SRT"
          - button "Download VTT"
          - button "Download JSON"
          - button "Delete"
          - group /Text of heard.flac; arrow keys move/
        """
    )


def test_what_a_button_could_not_do_is_shown_and_heard_until_it_is_done(visit: Open, up: Up) -> None:
    tab = visit()
    with halted(up.part("whisper_dispatcher.worker")):
        card = tab.send_sample("note.flac", "stubborn.flac")
        tab.button(card, "Cancel").click()
        expect(state(card)).to_have_text("Cancelled")
    tab.page.on("dialog", lambda dialog: dialog.accept())
    tab.page.route("**/v1/jobs/*", lambda route: route.abort())
    tab.button(card, "Delete").click()
    away = "The service cannot be reached. Check the connection."
    expect(card.locator(".problem")).to_have_text(away)
    expect(tab.page.get_by_role("status")).to_have_text(away)
    tab.page.unroute_all()
    tab.button(card, "Delete").click()
    expect(card).to_have_count(0)


def test_a_job_erased_elsewhere_takes_no_focus_with_it(visit: Open, up: Up) -> None:
    tab = visit()
    tab.page.route("**/events*", lambda route: route.abort())
    with halted(up.part("whisper_dispatcher.worker")):
        card = tab.send_sample("note.flac", "elsewhere.flac")
        expect(state(card)).to_have_text("Connection lost; trying again")
        tab.page.locator("#spoken").focus()
        with up.client() as client:
            url = client.get("/v1/jobs?limit=1").json()["data"][0]["url"]
            while client.delete(url).raise_for_status().status_code != 204:
                pass
    tab.page.unroute_all()
    expect(card).to_have_count(0)
    expect(tab.page.locator("#spoken")).to_be_focused()


def test_the_fleet_takes_no_focus_when_it_asks_again(visit: Open) -> None:
    tab = visit()
    expect(state(tab.send("focus.txt", b"no sound"))).to_have_text("Failed")
    tab.page.locator("#fleet summary").click()
    again = tab.page.locator("#letters").get_by_role("button", name="Try again: focus.txt")
    again.focus()
    for _ in range(2):
        with tab.page.expect_response("**/v1/dead-letters*") as letters:
            pass
        letters.value.finished()
    expect(again).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_state_has_a_serious_accessibility_problem(visit: Open, scheme: str) -> None:
    # The checker is put into the page, which the page's own policy forbids.
    tab = visit(is_signed_in=False, color_scheme=scheme, bypass_csp=True)
    ground = tab.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, re.findall(r"\d+", ground))) < 64) == (scheme == "dark")
    problems = found_by_axe(tab, "signed out")
    tab.sign_in("wrong")
    tab.page.get_by_text("The API key is wrong").wait_for()
    problems += found_by_axe(tab, "wrong key")
    tab.sign_in()
    done, failed = tab.send_sample("note.flac", f"{scheme}.flac"), tab.send(f"{scheme}.txt", b"no sound")
    expect(state(done)).to_have_text("Done")
    expect(state(failed)).to_have_text("Failed")
    sentences(done).first.click()
    problems += found_by_axe(tab, "done and failed")
    tab.draw(f"list-{scheme}")
    assert problems == []


def test_a_phone_shows_everything_without_scrolling_sideways(visit: Open) -> None:
    tab = visit(viewport=PHONE, has_touch=True, is_mobile=True)
    card = tab.send_sample("note.flac", "a-recording-with-a-name-that-does-not-fit-on-the-screen-of-a-phone.flac")
    expect(state(card)).to_have_text("Done")
    tab.draw("phone")
    tab.page.locator("#fleet summary").tap()
    expect(tab.page.locator("#workers > li")).to_be_visible()
    assert tab.page.evaluate("() => document.documentElement.scrollWidth") <= PHONE["width"]
    heights = card.get_by_role("button").evaluate_all(
        "(all) => all.filter((b) => b.className !== 'sentence').map((b) => b.offsetHeight)"
    )
    assert all(height == 0 or height >= 44 for height in heights)
