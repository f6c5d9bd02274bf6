"""The web page in a real Chromium, in front of the whole pipeline, on real speech."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from page_harness import TALK, Open, found_by_axe, halted, sentences, state, talk, text
from playwright.sync_api import Dialog, Route, expect
from up_harness import Up, descendants, spoken, until

from whisper_dispatcher import __version__
from whisper_models.bundled import sample_path

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


def test_a_dropped_recording_becomes_its_words(visit: Open) -> None:
    tab = visit()
    card = tab.drop("dropped.ogg", sample_path("voice-note.ogg").read_bytes())
    expect(state(card)).to_have_text("Done")
    assert text(card) == spoken("voice-note.ogg")
    tab.draw("done")
    assert tab.complaints == []


def test_the_key_is_kept_by_the_tab_alone(visit: Open) -> None:
    tab = visit()
    tab.page.reload()
    expect(tab.page.locator("#workspace")).to_be_visible()
    other = tab.page.context.new_page()
    other.goto(tab.url)
    expect(other.locator("#sign-in")).to_be_visible()
    expect(other.locator("#key")).to_be_focused()
    tab.page.get_by_role("button", name="Sign out").click()
    tab.page.reload()
    expect(tab.page.locator("#sign-in")).to_be_visible()


@pytest.mark.parametrize("key", ["wrong", "неверный"])
def test_a_wrong_key_is_refused_in_words(visit: Open, key: str) -> None:
    tab = visit(is_signed_in=False)
    tab.draw("sign-in")
    tab.sign_in(key)
    expect(tab.page.get_by_role("alert").first).to_have_text("The API key is wrong or was revoked.")
    expect(tab.page.locator("#workspace")).to_be_hidden()
    tab.draw("wrong-key")


def test_what_is_no_audio_fails_in_words(visit: Open) -> None:
    tab = visit()
    card = tab.send("letter.txt", b"Dear Sir or Madam, this is no sound at all.")
    expect(state(card)).to_have_text("Failed")
    expect(card.locator(".problem")).to_have_text("The file is no audio that can be read. Send another one.")
    tab.draw("failed")


def test_a_failed_job_is_tried_again(visit: Open, up: Up) -> None:
    tab = visit()
    card = tab.send("silent.mp4", sample_path("silent-video.mp4").read_bytes())
    expect(card.locator(".problem")).to_have_text("The file has no sound in it.")
    with halted(up.part("whisper_dispatcher.planner")):
        tab.button(card, "Try again").click()
        expect(state(card)).to_have_text("In the queue, next")
        expect(card.locator(".problem")).to_be_empty()
    expect(state(card)).to_have_text("Failed")


def test_an_empty_file_is_not_accepted_and_leaves_without_a_trace(visit: Open) -> None:
    tab = visit()
    # A name that would be a picture, if anything here were read as HTML.
    card = tab.send("<img src=x>.wav", b"")
    expect(state(card)).to_have_text("Not accepted")
    expect(card.locator(".problem")).to_have_text("The file is empty.")
    tab.button(card, "Delete").click()
    expect(card).to_have_count(0)


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


def test_text_appears_as_windows_finish_and_a_reload_goes_on(visit: Open, up: Up) -> None:
    tab = visit()
    worker = up.part("whisper_dispatcher.worker")
    with halted(worker):
        card = tab.send("long.mp3", talk(60))
        expect(state(card)).to_have_text(re.compile(r"Transcribing, 0 of \d parts done"))
    with up.client() as client:
        until(lambda: client.get("/v1/jobs?limit=1").json()["data"][0]["windows"]["done"] > 0, 60)
    with halted(worker):
        sentences(card).first.wait_for()
        expect(state(card)).to_have_text(re.compile(r"Transcribing, [1-9] of \d parts done"))
        tab.draw("running")
        tab.page.reload()
        sentences(card).first.wait_for()
        expect(state(card)).to_have_text(re.compile(r"Transcribing, [1-9] of \d parts done"))
        begun = text(card)
    expect(state(card)).to_have_text("Done")
    whole = text(card)
    assert whole.startswith(begun[:20]) and len(begun) < len(whole)
    # The last word may be cut in two.
    assert spoken(TALK).startswith(whole.rpartition(" ")[0])


def test_after_a_reload_the_recording_is_chosen_again_to_hear_it(visit: Open) -> None:
    tab = visit()
    card = tab.send_sample("voice-note.ogg", "again.ogg")
    expect(state(card)).to_have_text("Done")
    tab.page.reload()
    tab.button(card, "Show text").click()
    with tab.page.expect_file_chooser() as chooser:
        sentences(card).first.click()
    chooser.value.set_files(sample_path("voice-note.ogg"))
    expect(sentences(card).first).to_have_attribute("aria-current", "true")


def test_places_in_the_queue_are_told_and_a_job_is_cancelled(visit: Open, up: Up) -> None:
    tab = visit()
    with halted(up.part("whisper_dispatcher.worker")):
        first = tab.send_sample("voice-note.ogg", "first.ogg")
        expect(state(first)).to_have_text(re.compile("Transcribing|next"))
        second = tab.send_sample("note.flac", "second.flac")
        expect(state(second)).to_have_text("In the queue, 1 job before it")
        tab.draw("queued")
        tab.button(first, "Cancel").click()
        expect(state(first)).to_have_text("Cancelled")
        expect(first.locator("h3")).to_be_focused()
        expect(state(second)).to_have_text(re.compile("Transcribing|next"))
    expect(state(second)).to_have_text("Done")


def test_a_busy_service_and_a_lost_connection_are_tried_again(visit: Open) -> None:
    tab = visit()
    lost = {"jobs", "events"}

    def lose(route: Route) -> None:
        kind = route.request.url.partition("?")[0].rpartition("/")[2]
        if kind not in lost or (kind == "jobs" and route.request.method != "POST"):
            return route.continue_()
        if kind == "events":
            return route.abort()
        busy = {"error": {"message": "The queue is full.", "code": "queue_full"}}
        return route.fulfill(status=429, json=busy, headers={"Retry-After": "2", "x-should-retry": "true"})

    tab.page.route(re.compile(r"/v1/jobs$|/events"), lose)
    card = tab.send_sample("note.flac", "busy.flac")
    expect(state(card)).to_have_text("The service is busy; trying again in 2 s")
    lost.remove("jobs")
    expect(state(card)).to_have_text("Connection lost; trying again")
    lost.remove("events")
    expect(state(card)).to_have_text("Done")
    assert text(card) == spoken("note.flac")


def test_a_deleted_job_is_gone_from_the_service(visit: Open, up: Up) -> None:
    tab = visit()
    card = tab.send_sample("note.flac", "secret.flac")
    expect(state(card)).to_have_text("Done")
    tab.page.on("dialog", lambda dialog: dialog.accept())
    tab.button(card, "Delete").click()
    expect(card).to_have_count(0)
    expect(tab.page.get_by_role("status")).to_have_text("secret.flac deleted")
    with up.client() as client:
        assert "secret.flac" not in client.get("/v1/jobs?limit=100").text


def test_a_connection_that_is_lost_while_sending_is_called_that(visit: Open) -> None:
    tab = visit()
    tab.page.route(re.compile(r"/v1/jobs$"), lambda route: route.abort())
    card = tab.send_sample("note.flac", "lost.flac")
    expect(state(card)).to_have_text("Connection lost; trying again")
    tab.page.unroute_all()
    expect(state(card)).to_have_text("Done")


def test_a_tab_asks_before_it_loses_what_is_still_being_sent_or_recorded(visit: Open) -> None:
    tab = visit(permissions=["microphone"])
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    tab.page.on("dialog", stay)
    tab.page.route(re.compile(r"/v1/jobs$"), lambda route: route.abort())
    card = tab.send_sample("note.flac", "leaving.flac")
    expect(state(card)).to_have_text("Connection lost; trying again")
    tab.page.close(run_before_unload=True)
    until(lambda: bool(tab.page.title()) and len(asked) == 1, 30)
    tab.button(card, "Cancel").click()
    tab.page.get_by_role("button", name="Record").click()
    tab.wait_recorded("0:01")
    tab.page.close(run_before_unload=True)
    until(lambda: bool(tab.page.title()) and len(asked) == 2, 30)
    assert asked == ["beforeunload"] * 2
    tab.page.get_by_role("button", name="Sign out").click()
    with tab.page.expect_event("close"):
        tab.page.close(run_before_unload=True)


def test_a_file_that_is_gone_before_it_is_sent_is_not_tried_for_ever(visit: Open, tmp_path: Path) -> None:
    tab = visit()
    lost: list[Route] = []
    tab.page.route(re.compile(r"/v1/jobs$"), lambda route: lost.append(route))
    file = tmp_path / "moved.flac"
    file.write_bytes(sample_path("note.flac").read_bytes())
    tab.page.locator("#files").set_input_files(file)
    card = tab.card("moved.flac")
    until(lambda: card.count() > 0 and len(lost) > 0, 30)
    file.unlink()
    lost[0].abort()
    expect(state(card)).to_have_text("Not accepted")
    expect(card.locator(".problem")).to_contain_text("choose it again")


@pytest.mark.parametrize("is_elsewhere", [False, True])
def test_the_list_goes_on_after_its_last_job_is_deleted(visit: Open, up: Up, is_elsewhere: bool) -> None:
    tab = visit()
    names = [f"{age}-{is_elsewhere}.flac" for age in ("older", "newer")]
    for name in names:
        expect(state(tab.send_sample("note.flac", name))).to_have_text("Done")
    tab.page.route("**/v1/jobs?*", lambda route: route.continue_(url=route.request.url.replace("limit=20", "limit=1")))
    tab.page.reload()
    older, newer = map(tab.card, names)
    expect(newer).to_be_visible()
    expect(older).to_have_count(0)
    tab.page.on("dialog", lambda dialog: dialog.accept())
    if is_elsewhere:
        erase_newest(up)
    else:
        tab.button(newer, "Delete").click()
        expect(newer).to_have_count(0)
    tab.page.get_by_role("button", name="Show more").click()
    expect(older.locator("h3")).to_be_focused()
    expect(tab.page.locator("#problem")).to_be_empty()


def test_the_card_of_a_job_that_was_erased_elsewhere_can_be_deleted(visit: Open, up: Up) -> None:
    tab = visit()
    card = tab.send_sample("note.flac", "gone.flac")
    expect(state(card)).to_have_text("Done")
    erase_newest(up)
    tab.page.on("dialog", lambda dialog: dialog.accept())
    tab.button(card, "Delete").click()
    expect(card).to_have_count(0)


def erase_newest(up: Up) -> None:
    with up.client() as client:
        client.delete(client.get("/v1/jobs?limit=1").json()["data"][0]["url"]).raise_for_status()


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


def test_an_operator_sees_the_fleet_and_tries_a_strangers_job_again(visit: Open, up: Up) -> None:
    stranger = visit(is_signed_in=False)
    stranger.sign_in(up.command("clients", "create", "stranger").stdout.strip())
    card = stranger.send("stranger.txt", b"no sound")
    expect(state(card)).to_have_text("Failed")
    expect(stranger.page.locator("#fleet")).to_be_hidden()
    operator = visit(bypass_csp=True)
    fleet = operator.page.locator("#fleet")
    fleet.locator("summary").click()
    letter = fleet.get_by_role("listitem").filter(has_text="stranger.txt")
    expect(letter).to_contain_text("The file is no audio that can be read.")
    expect(fleet.get_by_role("img")).to_have_attribute("aria-label", re.compile("Parts left over the last hour"))
    assert found_by_axe(operator, "fleet") == []
    with halted(up.part("whisper_dispatcher.planner")):
        operator.button(letter, "Try again: stranger.txt").click()
        expect(letter).to_have_count(0)
        expect(fleet.locator("#fleet-now")).to_contain_text("Jobs in the queue: 1")
    assert operator.complaints == []


def test_an_operator_sees_each_server_and_whose_window_it_has(visit: Open, up: Up) -> None:
    tab = visit(bypass_csp=True)
    fleet = tab.page.locator("#fleet")
    fleet.locator("summary").click()
    worker = fleet.locator("#workers > li")
    expect(worker).to_contain_text(re.compile(rf"· demo\.en\s*version {re.escape(__version__)} · up for \d+:\d\d"))
    expect(worker.get_by_role("listitem")).to_have_text(["Idle · CPU"])
    with halted(whisper_server(up)):
        card = tab.send_sample("note.flac", "watched.flac")
        expect(state(card)).to_have_text("Transcribing, 0 of 1 parts done")
        with up.client() as client:
            job = client.get("/v1/jobs?limit=1").json()["data"][0]["id"]
        busy = re.compile(rf"Transcribing part 1 of job {job} for \d:\d\d · CPU")
        expect(worker.get_by_role("listitem")).to_have_text(busy)
        assert found_by_axe(tab, "fleet") == []
        fleet.evaluate("(it) => it.scrollIntoView()")
        tab.draw("fleet")
        tab.page.locator("#language").select_option("ru")
        expect(worker.get_by_role("listitem")).to_have_text(re.compile(rf"Расшифровывает часть 1 задания {job} уже"))
        tab.page.locator("#language").select_option("en")
    expect(state(card)).to_have_text("Done")
    expect(worker.get_by_role("listitem")).to_have_text("Idle · CPU")
    assert tab.complaints == []


def whisper_server(up: Up) -> int:
    return next(pid for pid, command in descendants(up.process.pid).items() if "--request-path" in command)


def test_nothing_of_who_signs_out_on_a_slow_line_is_shown_to_who_signs_in(visit: Open, up: Up) -> None:
    tab = visit()
    expect(state(tab.send_sample("note.flac", "private.flac"))).to_have_text("Done")
    tab.page.reload()
    tab.page.locator("#fleet").wait_for()
    slow: dict[str, Route] = {}
    tab.page.route(re.compile(r"/v1/(jobs\?|fleet)"), lambda route: slow.update({kind_of(route): route}))
    tab.page.reload()
    tab.page.locator("#workspace").wait_for()
    # What the tab does is heard of only while something is asked of it.
    until(lambda: bool(tab.page.title()) and len(slow) == 2, 30)
    answers = {kind: route.fetch() for kind, route in slow.items()}
    tab.page.get_by_role("button", name="Sign out").click()
    # Both are answered before anything of the next one is.
    for kind, route in slow.items():
        route.fulfill(response=answers[kind])
    tab.page.unroute_all()
    tab.sign_in(up.command("clients", "create", "next").stdout.strip())
    expect(tab.page.get_by_text("Nothing here yet.").first).to_be_visible()
    expect(tab.page.locator("#jobs > li")).to_have_count(0)
    expect(tab.page.locator("#fleet")).to_be_hidden()
    assert tab.complaints == []


def kind_of(route: Route) -> str:
    return route.request.url.partition("?")[0].rpartition("/")[2]


def test_a_file_sent_while_the_list_still_loads_gets_one_card(visit: Open) -> None:
    tab = visit(is_signed_in=False)
    held: list[Route] = []
    tab.page.route("**/v1/jobs?*", lambda route: held.append(route))
    sent: list[str] = []
    tab.page.on("request", lambda request: request.method == "POST" and sent.append(request.url))
    tab.sign_in()
    card = tab.send_sample("note.flac", "early.flac")
    expect(state(card)).to_have_text("Waiting to be sent")
    assert held and not sent
    held[0].continue_()
    expect(state(card)).to_have_text("Done")
