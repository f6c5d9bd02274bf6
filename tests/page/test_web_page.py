"""The web page in a real Chromium, in front of the whole pipeline, on real speech: sent, followed, done or failed."""

from __future__ import annotations

import re
from pathlib import Path

from page_harness import TALK, Open, halted, sentences, state, talk, text
from playwright.sync_api import Dialog, Route, expect
from up_harness import Up, spoken, until

from whisper_models.bundled import sample_path


def test_a_dropped_recording_becomes_its_words(visit: Open) -> None:
    tab = visit()
    card = tab.drop("dropped.ogg", sample_path("voice-note.ogg").read_bytes())
    expect(state(card)).to_have_text("Done")
    assert text(card) == spoken("voice-note.ogg")
    tab.draw("done")
    assert tab.complaints == []


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
