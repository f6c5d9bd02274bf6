"""The list of jobs on the web page."""

from __future__ import annotations

import pytest
from page_harness import Open, state
from playwright.sync_api import Route, expect
from up_harness import Up


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
