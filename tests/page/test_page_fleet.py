"""What an operator sees on the web page."""

from __future__ import annotations

import re

from page_harness import Open, found_by_axe, halted, state
from playwright.sync_api import expect
from up_harness import Up, descendants

from whisper_dispatcher import __version__


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
